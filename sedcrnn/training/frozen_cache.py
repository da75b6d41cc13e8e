"""Frozen parts of a network -> what they make of every clip, computed once and stored.

A frame encoder gives values per frame; all else is per window, one for each step at which a 1-s window may start:
46 in a clip of ten seconds. A batch of these is what `SceneNetwork.encode` makes of the inputs, to float tolerance.

Frozen parts always compute in float32, in whatever precision a stage trains: so every stage, seed and evaluation on a
kind of device shares what has been stored once. On a GPU that is torch's default, with TF32 in convolutions.
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sedcrnn.config.stage_config import RecipeConfig
from sedcrnn.config.targets import build
from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.incomplete import COMPLETE, Incomplete
from sedcrnn.datasets.window_dataset import WindowDataset, read_values
from sedcrnn.datasets.windows import STEPS_PER_WINDOW, Window
from sedcrnn.errors import ConfigError
from sedcrnn.features.feature import Feature
from sedcrnn.features.pack import Rows, gather
from sedcrnn.features.store import SAVE_EVERY, FeatureStore
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.freezing import lies_in
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.visual import VisualNetwork
from sedcrnn.progress import progress
from sedcrnn.runs.checkpoints import weights_digest
from sedcrnn.sweeps.ranks import shared

AT_A_TIME = 50  # frames, or windows, in one batch of an encoder: those of ten seconds


@dataclass(frozen=True)
class EncodedFeature:
    """What a frozen part makes of a feature of a clip, as the store knows it: a value that `SceneNetwork.decode` takes,
    and the part's config, the digest of its weights, and the kind of device that computes it."""

    name: str
    base: Feature
    part: Mapping[str, object]

    def source(self, clip: Clip) -> Path:
        """The clip's file that the base feature is made from."""
        return self.base.source(clip)

    def parameters(self) -> dict[str, object]:
        """Everything that determines the values for given file content."""
        return {"method": "encoded", "version": 1, "of": self.base.parameters(), **self.part}


class FrozenEncoder:
    """The first half of a network, given with its complete config, whose parts stay as they are, over whole clips: of a
    visual, an audio or a fusion network, or of one's own on the spectrogram; `incomplete` says what clips lack."""

    def __init__(
        self,
        network: SceneNetwork,
        node: Mapping[str, Any],
        features: Mapping[str, Feature],
        device: torch.device | None = None,
        incomplete: Incomplete = COMPLETE,
    ) -> None:
        self.network, self.features, self.device = network, features, device or torch.device("cpu")
        self.incomplete = incomplete
        self.kept: dict[str, EncodedFeature] = {}
        self.of_steps = {"visual"}  # values that follow from steps that are stored
        if isinstance(network, FusionNetwork):
            self._keep(network.visual, node["visual"], ("visual_steps", "visual"))
            self._keep(network.audio, node["audio"], ("audio_steps", "audio"))
            if "audio_steps" in network.audio.encoded:
                self.of_steps.add("audio")
        else:
            self._keep(network, node, network.encoded)

    def _keep(self, part: SceneNetwork, node: Mapping[str, Any], names: Sequence[str]) -> None:
        """Note what is kept of an audio or a visual network. Values that its first half gives are shared with networks
        that differ in the second half alone; all others depend on the whole of it."""
        weights = {key: value.cpu() for key, value in part.state_dict().items()}
        halves = {key: value for key, value in weights.items() if any(lies_in(key, one) for one in part.encoding_parts)}
        half_node = {key: value for key, value in node.items() if key not in part.head_arguments}
        for name in names:
            made_by = (half_node, halves) if name in part.encoded else (node, weights)
            described = {"network": made_by[0], "weights": weights_digest(made_by[1]), "device": self.device.type}
            self.kept[name] = EncodedFeature(name, self.features[part.inputs[0]], described)

    def encode_all(self, clips: Sequence[Clip], store: FeatureStore, workers: int) -> None:
        """Make sure that the store holds the encoded values of every clip, whose features it holds (except frames that
        are not stored); so many clips are read ahead.

        Processes that were started together share the work; each returns when the store holds everything.

        Raises:
            ClipError: a video that cannot be decoded, where frames are not stored.
        """
        clips = list(dict.fromkeys([*clips, *self.incomplete.stand_in.values()]))
        known = {name: store.known([each.source(clip) for clip in clips], each) for name, each in self.kept.items()}
        made = [
            all(known[name][number] or self.incomplete.lacks(each.base.name, clip) for name, each in self.kept.items())
            for number, clip in enumerate(clips)
        ]
        to_do = shared([clip for clip, is_made in zip(clips, made, strict=True) if not is_made])
        # Those alone: on a GPU, the GRU of a network that is to be trained next cannot be in evaluation mode.
        for part in self.network.encoding_parts:
            self.network.get_submodule(part).to(self.device).eval()
        ahead: deque[Future[dict[str, Tensor]]] = deque()
        with store.saving_every(SAVE_EVERY), ThreadPoolExecutor(max(1, workers)) as pool:
            for number, clip in enumerate(progress(to_do, "Encoding, once", unit="clip", disable=not to_do)):
                following = to_do[number + len(ahead) : number + 1 + workers]
                ahead.extend(pool.submit(self._read, each, store) for each in following)
                inputs = ahead.popleft().result()
                self._encode(clip, inputs, store)

    def read(self, clips: Sequence[Clip], store: FeatureStore) -> dict[str, Rows]:
        """The encoded values of all clips, by name, mapped from disk; of another clip where one lacks them."""
        sources = {
            name: [each.source(self.incomplete.instead(each.base.name, clip)) for clip in clips]
            for name, each in self.kept.items()
        }
        return {name: gather(store.paths(sources[name], each)) for name, each in self.kept.items()}

    @property
    def made_of(self) -> dict[str, str]:
        """Name of an encoded value -> the network's input that it is made of."""
        return {name: each.base.name for name, each in self.kept.items()}

    def _missing(self, clip: Clip, store: FeatureStore) -> dict[str, EncodedFeature]:
        """The encoded values of a clip that the store does not hold, as far as it has what they are made of."""
        return {
            name: each
            for name, each in self.kept.items()
            if not self.incomplete.lacks(each.base.name, clip) and not store.knows(each.source(clip), each)
        }

    def _needs_windows(self, missing: Collection[str]) -> bool:
        """Whether windows of the spectrogram are to be encoded."""
        return bool(set(missing) - {"visual_steps"} - self.of_steps)

    def _read(self, clip: Clip, store: FeatureStore) -> dict[str, Tensor]:
        """As far as the store lacks what is made of them: the frames of a clip (time, channel, height, width), and the
        spectrograms of all its windows, on the CPU."""
        inputs: dict[str, Tensor] = {}
        missing = self._missing(clip, store)
        if "visual_steps" in missing:
            frames = self.features["frames"]
            inputs["frames"] = frames.network_input(torch.from_numpy(read_values(frames, clip, store)[None]))[0]
        if self._needs_windows(missing):
            dataset = WindowDataset([clip], clip.scenes, {"spectrogram": self.features["spectrogram"]}, store)
            starts = range(dataset.steps[0] - STEPS_PER_WINDOW + 1)
            windows = dataset.batch([Window(0, start) for start in starts])
            inputs["spectrogram"] = dataset.network_inputs(windows)["spectrogram"]
        return inputs

    @torch.no_grad()
    def _encode(self, clip: Clip, inputs: Mapping[str, Tensor], store: FeatureStore) -> None:
        values: dict[str, Tensor] = {}
        missing = self._missing(clip, store)  # another process may have made some since the inputs were read

        def known(name: str) -> Tensor:
            """What has been made just now, or was stored before."""
            stored = self.kept[name]
            return (
                values[name]
                if name in values
                else torch.tensor(store.read(stored.source(clip), stored)).to(self.device)
            )

        if "visual_steps" in missing:
            visual = self.network.visual if isinstance(self.network, FusionNetwork) else self.network
            assert isinstance(visual, VisualNetwork)
            embedded = [visual.embed(piece[None])[0] for piece in self._pieces(inputs["frames"])]
            values["visual_steps"] = torch.cat(embedded)
        if self._needs_windows(missing):
            encoded = [self._encode_windows(piece) for piece in self._pieces(inputs["spectrogram"])]
            values |= {name: torch.cat([piece[name] for piece in encoded]) for name in encoded[0]}
        if isinstance(self.network, FusionNetwork):
            if "visual" in missing:
                windows = known("visual_steps").unfold(0, STEPS_PER_WINDOW, 1).transpose(1, 2)
                values["visual"] = self.network.visual.classify(windows)
            if "audio" in missing and "audio" not in values:
                values["audio"] = self.network.audio.decode(audio_steps=known("audio_steps"))["audio"]
        for name, feature in missing.items():
            store.write(feature.source(clip), feature, values[name].cpu().numpy())

    def _encode_windows(self, spectrogram: Tensor) -> dict[str, Tensor]:
        """(window, channel, band, column) -> what is kept of an audio network, alone or in a fusion network."""
        if isinstance(self.network, FusionNetwork):
            return self.network.encode_audio(self.network.audio.embed(spectrogram))
        return self.network.encode(spectrogram)

    def _pieces(self, values: Tensor) -> Iterator[Tensor]:
        return (piece.to(self.device) for piece in torch.split(values, AT_A_TIME))


def check_cacheable(recipe: RecipeConfig, network: type[SceneNetwork], node: Mapping[str, Any]) -> None:
    """Refuse `recipe.cache_frozen` where encoded values would not stay the same from epoch to epoch; `node` is the
    network's config.

    Raises:
        ConfigError: with the reason.
    """
    loose = [part for part in network.encoding_parts if not any(lies_in(part, name) for name in recipe.frozen)]
    augmented = [
        name
        for name in network.inputs
        if (own := getattr(recipe.augmentation, name)) and build(own, "augmentation").active
    ]
    in_front = "in front of the frozen part"
    reasons = {
        f"a {network.__name__} has no part that is kept frozen": not network.encoding_parts,
        f"a {network.__name__} takes {' and '.join(network.inputs)}, and of networks of your own only those of the "
        "spectrogram are encoded": not (
            issubclass(network, FusionNetwork | VisualNetwork) or network.inputs == ("spectrogram",)
        ),
        f"recipe.frozen={recipe.frozen} leaves {' and '.join(loose)} to be trained": loose,
        f"recipe.mixup_alpha={recipe.mixup_alpha} mixes inputs, {in_front}": recipe.mixup_alpha > 0,
        f"recipe.modality_dropout={recipe.modality_dropout} drops inputs, {in_front}, with "
        "model.network.missing=subnetwork": recipe.modality_dropout > 0 and node.get("missing") in (None, "subnetwork"),
        f"recipe.augmentation.{' and '.join(augmented)} changes inputs, {in_front}": augmented,
    }
    for reason, holds in reasons.items():
        if holds:
            raise ConfigError(
                f"recipe.cache_frozen=true, but {reason}",
                "What a frozen part makes of a window is kept only while it is the same in every epoch",
                "Set recipe.cache_frozen=false, which computes it in every epoch, or change the other",
            )
