"""Spectrogram and frames -> embeddings -> early fusion (GRU) -> late fusion (dense on all three predictions)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from sedcrnn.errors import ConfigError, check_choice
from sedcrnn.networks import AudioSubnetwork, SceneNetwork
from sedcrnn.networks.early_fusion import EARLY_FUSIONS
from sedcrnn.networks.initialisation import glorot
from sedcrnn.networks.visual import VisualNetwork


class FusionNetwork(SceneNetwork):
    """Two-stage fusion of two ready subnetworks (docs/paper.md, "Two-stage fusion"; 272,704 parameters more).

    The heads are `audio`, `visual`, and `early` and `late` as far as there are such stages; the last is the answer.
    `config.nodes` describes the arguments; the defaults are the paper's. Late fusion `average` is that of what
    `late_inputs` says of the heads before it: the mean of probabilities, or their geometric mean.
    """

    kind = "fusion"
    inputs = ("spectrogram", "frames")
    encoded = ("audio_steps", "visual_steps", "audio", "visual")
    encoding_parts = ("audio", "visual")

    def __init__(
        self,
        audio: AudioSubnetwork,
        visual: VisualNetwork,
        hidden: int = 64,
        early: str | Callable[..., nn.Module] = "gru",
        late: str = "learned",
        late_inputs: str = "probabilities",
        late_start: str = "glorot",
    ) -> None:
        super().__init__()
        if isinstance(early, str):
            check_choice("early fusion", early, (*EARLY_FUSIONS, "none"))
        check_choice("late fusion", late, ("learned", "average", "none"))
        check_choice("input of late fusion", late_inputs, ("probabilities", "log_probabilities"))
        check_choice("start of late fusion", late_start, ("glorot", "average"))
        if early == late == "none":
            raise ConfigError(
                "Both early and late fusion are 'none'",
                "A fusion network has one of the two at least",
                "Choose early=gru or late=average, or train an audio or a visual network",
            )
        if audio.scenes != visual.scenes:
            raise ConfigError(
                f"The audio network has {audio.scenes} scenes and the visual network {visual.scenes}",
                "Both have the same scenes in the same order",
                "Train both on the same data set",
            )
        self.scenes = audio.scenes
        self.audio, self.visual = audio, visual
        # In the order in which late fusion reads their predictions, which is the authors'.
        self.fused_heads = ("audio", "visual") if early == "none" else ("early", "audio", "visual")
        self.early: nn.Module | None = None
        if early != "none":
            make = EARLY_FUSIONS[early] if isinstance(early, str) else early
            widths = {"audio": audio.embedding, "visual": visual.encoder.embedding}
            self.early = make(**widths, hidden=hidden, scenes=self.scenes)
        self.log_inputs = late_inputs == "log_probabilities"
        self.late = glorot(nn.Linear(len(self.fused_heads) * self.scenes, self.scenes)) if late == "learned" else None
        if self.late is not None and late_start == "average":
            with torch.no_grad():  # the biases are zero already
                self.late.weight.copy_(torch.eye(self.scenes).repeat(1, len(self.fused_heads)) / len(self.fused_heads))
        stages = {"early": early, "late": late}
        self.head_names = ("audio", "visual", *(stage for stage, kind in stages.items() if kind != "none"))

    def encode(self, spectrogram: Tensor, frames: Tensor) -> dict[str, Tensor]:
        """(batch, channel, band, frame) and (batch, time, channel, height, width) -> embeddings and predictions."""
        return {**self.encode_audio(self.audio.embed(spectrogram)), **self.encode_video(self.visual.embed(frames))}

    def encode_audio(self, embedding: Tensor) -> dict[str, Tensor]:
        """The audio network's embedding -> `audio_steps` (batch, time, filter) and `audio` logits."""
        return {"audio_steps": self.audio.steps(embedding), "audio": self.audio.classify(embedding)}

    def encode_video(self, visual_steps: Tensor) -> dict[str, Tensor]:
        """(batch, time, embedding) -> the same as `visual_steps`, and `visual` log-probabilities."""
        return {"visual_steps": visual_steps, "visual": self.visual.classify(visual_steps)}

    def decode(self, audio_steps: Tensor, visual_steps: Tensor, audio: Tensor, visual: Tensor) -> dict[str, Tensor]:
        """Embeddings and predictions -> {head: (batch, scene) logits}.

        `visual`, and `late` where it is an average, are log-probabilities, which are logits too.
        """
        heads = {"audio": audio, "visual": visual}
        if self.early is not None:
            heads["early"] = self.early(audio_steps, visual_steps)
        if "late" in self.head_names:
            heads["late"] = self._late([heads[name].float() for name in self.fused_heads])
        return heads

    def _late(self, predictions: list[Tensor]) -> Tensor:
        if self.late is not None:
            inputs = [logits.log_softmax(-1) if self.log_inputs else logits.softmax(-1) for logits in predictions]
            late: Tensor = self.late(torch.cat(inputs, -1).to(self.late.weight.dtype))
            return late
        logarithms = torch.stack([logits.log_softmax(-1) for logits in predictions])
        if self.log_inputs:
            return logarithms.mean(0).log_softmax(-1)
        return logarithms.logsumexp(0) - math.log(len(predictions))

    def parts_of(self, head: str) -> list[nn.Module]:
        """The modules that a head's prediction needs; early fusion does without the subnetworks' classifiers."""
        parts: dict[str, list[nn.Module]] = {"audio": [self.audio], "visual": [self.visual], "late": [self]}
        if self.early is not None:
            encoders = [each.get_submodule(part) for each in (self.audio, self.visual) for part in each.encoding_parts]
            parts["early"] = [*encoders, self.early]
        return parts[head]
