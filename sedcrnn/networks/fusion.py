"""Spectrogram and frames -> embeddings -> early fusion (GRU) -> late fusion (dense on all three predictions)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sedcrnn.errors import ConfigError, check_choice
from sedcrnn.networks import AudioSubnetwork, SceneNetwork
from sedcrnn.networks.absence import AbsentModality, Present, average, only_there, rows_there
from sedcrnn.networks.early_fusion import EARLY_FUSIONS
from sedcrnn.networks.initialisation import glorot
from sedcrnn.networks.probabilities import log_probabilities, probabilities
from sedcrnn.networks.visual import VisualNetwork


class FusionNetwork(SceneNetwork):
    """Two-stage fusion of two ready subnetworks (docs/paper.md, "Two-stage fusion"; 272,704 parameters more).

    The heads are `audio`, `visual`, and `early` and `late` as far as there are such stages; the last is the answer.
    `config.nodes` describes the arguments; the defaults are the paper's. Late fusion `average` is that of what
    `late_inputs` says of the heads before it: the mean of probabilities, or their geometric mean.

    Windows may lack one modality: `present` (batch, 2) says which have audio and which have video. What there is not
    is computed nowhere; a head of that modality alone then gives all scenes the same probability. `missing` says what
    the fused heads do. `subnetwork` leaves the answer to the other modality's network. `zero` fuses an embedding of
    zeros and a prediction of equal probabilities in its place; with `learned` both are trained, and start as those. An
    average is that of the predictions that there are.
    """

    kind = "fusion"
    inputs = ("spectrogram", "frames")
    encoded = ("audio_steps", "visual_steps", "audio", "visual")
    encoding_parts = ("audio", "visual")
    takes_incomplete = True

    def __init__(
        self,
        audio: AudioSubnetwork,
        visual: VisualNetwork,
        hidden: int = 64,
        early: str | Callable[..., nn.Module] = "gru",
        late: str = "learned",
        late_inputs: str = "probabilities",
        late_start: str = "glorot",
        missing: str = "subnetwork",
    ) -> None:
        super().__init__()
        if isinstance(early, str):
            check_choice("early fusion", early, (*EARLY_FUSIONS, "none"))
        check_choice("late fusion", late, ("learned", "average", "none"))
        check_choice("input of late fusion", late_inputs, ("probabilities", "log_probabilities"))
        check_choice("start of late fusion", late_start, ("glorot", "average"))
        check_choice("rule for a missing modality", missing, ("subnetwork", "zero", "learned"))
        if early == late == "none":
            raise ConfigError(
                "Both early and late fusion are 'none'",
                "A fusion network has one of the two at least",
                "Choose early=gru or late=average, or train an audio or a visual network",
            )
        if (audio.scenes, audio.multi_label) != (visual.scenes, visual.multi_label):
            own, other = (
                f"{part.scenes} scenes{', of which a second has any number' * part.multi_label}"
                for part in (audio, visual)
            )
            raise ConfigError(
                f"The audio network has {own}, and the visual network {other}",
                "Both have the same scenes in the same order",
                "Train both on the same data set",
            )
        self.scenes, self.multi_label = audio.scenes, audio.multi_label
        self.audio, self.visual = audio, visual
        # In the order in which late fusion reads their predictions, which is the authors'.
        self.fused_heads = ("audio", "visual") if early == "none" else ("early", "audio", "visual")
        widths = {"audio": audio.embedding, "visual": visual.encoder.embedding}
        self.early: nn.Module | None = None
        if early != "none":
            make = EARLY_FUSIONS[early] if isinstance(early, str) else early
            self.early = make(**widths, hidden=hidden, scenes=self.scenes)
        self.log_inputs = late_inputs == "log_probabilities"
        self.late = glorot(nn.Linear(len(self.fused_heads) * self.scenes, self.scenes)) if late == "learned" else None
        if self.late is not None and late_start == "average":
            with torch.no_grad():  # the biases are zero already
                self.late.weight.copy_(torch.eye(self.scenes).repeat(1, len(self.fused_heads)) / len(self.fused_heads))
        self.absent = nn.ModuleDict()
        if missing != "subnetwork":
            self.absent.update({name: AbsentModality(width, self.scenes, missing) for name, width in widths.items()})
        parts = {"audio": audio, "visual": visual}
        self.last_maps = {
            key: f"{name}.{layer}" for name, part in parts.items() for key, layer in part.last_maps.items()
        }
        self.classifiers = {
            key: f"{name}.{layer}" for name, part in parts.items() for key, layer in part.classifiers.items()
        }
        if isinstance(getattr(self.early, "dense", None), nn.Module):
            self.classifiers["fused"] = "early.dense"
        stages = {"early": early, "late": late}
        self.head_names = ("audio", "visual", *(stage for stage, kind in stages.items() if kind != "none"))

    @property
    def fuses_incomplete(self) -> bool:
        """Whether the fused heads answer for windows that lack a modality, and not the other one's network alone."""
        return bool(self.absent)

    def encode(self, spectrogram: Tensor, frames: Tensor, present: Present = None) -> dict[str, Tensor]:
        """(batch, channel, band, frame) and (batch, time, channel, height, width) -> embeddings and predictions; rows
        of windows that lack a modality are neither looked at nor meant to be used."""
        has_audio, has_video = (None, None) if present is None else present.unbind(1)
        audio = only_there(lambda rows: self.encode_audio(self.audio.embed(rows)), spectrogram, has_audio)
        return audio | only_there(lambda rows: self.encode_video(self.visual.embed(rows)), frames, has_video)

    def encode_audio(self, embedding: Tensor) -> dict[str, Tensor]:
        """The audio network's embedding -> `audio_steps` (batch, time, filter) and `audio` logits."""
        return {"audio_steps": self.audio.steps(embedding), "audio": self.audio.classify(embedding)}

    def encode_video(self, visual_steps: Tensor) -> dict[str, Tensor]:
        """(batch, time, embedding) -> the same as `visual_steps`, and `visual` logits."""
        return {"visual_steps": visual_steps, "visual": self.visual.classify(visual_steps)}

    def decode(
        self, audio_steps: Tensor, visual_steps: Tensor, audio: Tensor, visual: Tensor, present: Present = None
    ) -> dict[str, Tensor]:
        """Embeddings and predictions -> {head: (batch, scene) logits}.

        Without multi-label data, `visual`, and `late` where it is an average, are log-probabilities, which are logits
        too.
        """
        if present is None and self.training and self.fuses_incomplete:
            # So that all parameters have a gradient, for which processes that train together wait.
            present = torch.ones(len(audio), 2, dtype=torch.bool, device=audio.device)
        if present is not None:
            has_audio, has_video = present.unbind(1)
            audio, visual = rows_there(audio, has_audio), rows_there(visual, has_video)
        heads = {"audio": audio, "visual": visual}
        fused = dict(heads)
        if present is not None:
            audio_steps, fused["audio"] = self._filled("audio", audio_steps, audio, has_audio)
            visual_steps, fused["visual"] = self._filled("visual", visual_steps, visual, has_video)
        if self.early is not None:
            heads["early"] = fused["early"] = self.early(audio_steps, visual_steps)
        if "late" in self.head_names:
            heads["late"] = self._late([fused[name].float() for name in self.fused_heads], present)
        if present is not None and not self.fuses_incomplete:
            alone = torch.where(has_audio[:, None], audio.float(), visual.float())
            both = (has_audio & has_video)[:, None]
            heads |= {name: torch.where(both, heads[name], alone) for name in self.head_names[2:]}
        return heads

    def heads_of_one(self, spectrogram: Tensor | None = None, frames: Tensor | None = None) -> dict[str, Tensor]:
        """As `heads`, for windows that all lack the modality that is not given."""
        if spectrogram is not None:
            return self.heads_of_encoded(**self.encode_audio(self.audio.embed(spectrogram)))
        assert frames is not None
        return self.heads_of_encoded(**self.encode_video(self.visual.embed(frames)))

    def heads_of_encoded(self, **encoded: Tensor) -> dict[str, Tensor]:
        """As `decode`, for windows of which `audio_steps` and `audio`, or `visual_steps` and `visual`, are there."""
        has_audio = "audio" in encoded
        there, gone = ("audio", "visual") if has_audio else ("visual", "audio")
        steps, logits = encoded[f"{there}_steps"], encoded[there]
        width = self.visual.encoder.embedding if has_audio else self.audio.embedding
        blank = {f"{gone}_steps": steps.new_zeros(*steps.shape[:2], width), gone: torch.zeros_like(logits)}
        present = torch.tensor([has_audio, not has_audio], device=steps.device).expand(len(steps), 2)
        return self.decode(**encoded, **blank, present=present)

    def _filled(self, modality: str, steps: Tensor, logits: Tensor, has: Tensor) -> tuple[Tensor, Tensor]:
        """What is fused of a modality, of the windows that lack it too."""
        if modality in self.absent:
            filled: tuple[Tensor, Tensor] = self.absent[modality](steps, logits, has)
            return filled
        return rows_there(steps, has), logits

    def _late(self, predictions: list[Tensor], present: Present) -> Tensor:
        if self.late is not None:
            read = log_probabilities if self.log_inputs else probabilities
            inputs = [read(logits, self.multi_label) for logits in predictions]
            late: Tensor = self.late(torch.cat(inputs, -1).to(self.late.weight.dtype))
            return late
        there = None
        if present is not None:
            has = {"audio": present[:, 0], "visual": present[:, 1], "early": present.any(1)}
            there = torch.stack([has[name] for name in self.fused_heads])
        return average(torch.stack(predictions), self.log_inputs, there, self.multi_label)

    def parts_of(self, head: str) -> list[nn.Module]:
        """The modules that a head's prediction needs; early fusion does without the subnetworks' classifiers."""
        parts: dict[str, list[nn.Module]] = {"audio": [self.audio], "visual": [self.visual], "late": [self]}
        if self.early is not None:
            encoders = [each.get_submodule(part) for each in (self.audio, self.visual) for part in each.encoding_parts]
            parts["early"] = [*encoders, self.early]
        return parts[head]
