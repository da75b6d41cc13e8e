"""Frozen parts of a network -> what they make of every clip, computed once and stored.

The frame encoder gives values per frame; all else is per window, one for each step at which a 1-s window may start:
46 in a clip of ten seconds. A batch of these is what `SceneNetwork.encode` makes of the inputs, to float tolerance.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sedcrnn.config.stage_config import RecipeConfig
from sedcrnn.config.targets import build
from sedcrnn.datasets.clips import Clip
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

AUTOCAST = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""Lightning's names of the precisions that values can be kept in; float32 holds them all."""


@dataclass(frozen=True)
class EncodedFeature:
    """What a frozen part makes of a feature of a clip, as the store knows it: a value that `SceneNetwork.decode` takes,
    and the part's config, the digest of its weights, and the arithmetic."""

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
    """The first half of a visual or fusion network, given with its complete config, whose parts stay as they are, over
    whole clips; `precision` is one of `AUTOCAST`.
    """

    def __init__(
        self,
        network: SceneNetwork,
        node: Mapping[str, Any],
        features: Mapping[str, Feature],
        precision: str = "32-true",
        device: torch.device | None = None,
    ) -> None:
        assert isinstance(network, FusionNetwork | VisualNetwork)
        self.network, self.features, self.device = network, features, device or torch.device("cpu")
        self.autocast = AUTOCAST[precision]
        self.visual = network.visual if isinstance(network, FusionNetwork) else network
        visual_node = node["visual"] if isinstance(network, FusionNetwork) else node
        # Stages with other heads on one encoder share what it makes of the frames.
        encoder_node = {key: value for key, value in visual_node.items() if key not in VisualNetwork.head_arguments}

        def made_by(part: torch.nn.Module, part_node: Mapping[str, Any]) -> dict[str, object]:
            weights = weights_digest({key: value.cpu() for key, value in part.state_dict().items()})
            return {"network": part_node, "weights": weights, "precision": precision, "device": self.device.type}

        encoder = made_by(self.visual.encoder, encoder_node)
        self.steps = EncodedFeature("visual_steps", features["frames"], encoder)
        self.kept = [self.steps]
        if isinstance(network, FusionNetwork):
            audio = made_by(network.audio, node["audio"])
            self.kept += [
                EncodedFeature("visual", features["frames"], made_by(network.visual, visual_node)),
                EncodedFeature("audio_steps", features["spectrogram"], audio),
                EncodedFeature("audio", features["spectrogram"], audio),
            ]

    def encode_all(self, clips: Sequence[Clip], store: FeatureStore, workers: int) -> None:
        """Make sure that the store holds the encoded values of every clip, whose features it holds (except frames that
        are not stored); so many clips are read ahead.

        Processes that were started together share the work; each returns when the store holds everything.

        Raises:
            ClipError: a video that cannot be decoded, where frames are not stored.
        """
        known = [store.known([each.source(clip) for clip in clips], each) for each in self.kept]
        to_do = shared([clip for clip, *its in zip(clips, *known, strict=True) if not all(its)])
        # Those alone: on a GPU, the GRU of a network that is to be trained next cannot be in evaluation mode.
        network: SceneNetwork = self.network
        frozen = (network.audio, network.visual) if isinstance(network, FusionNetwork) else (self.visual.encoder,)
        for part in frozen:
            part.to(self.device).eval()
        ahead: deque[Future[dict[str, Tensor]]] = deque()
        with store.saving_every(SAVE_EVERY), ThreadPoolExecutor(max(1, workers)) as pool:
            for number, clip in enumerate(progress(to_do, "Encoding, once", unit="clip", disable=not to_do)):
                following = to_do[number + len(ahead) : number + 1 + workers]
                ahead.extend(pool.submit(self._read, each, store) for each in following)
                inputs = ahead.popleft().result()
                if not self._known(clip, store):
                    self._encode(clip, inputs, store)

    def read(self, clips: Sequence[Clip], store: FeatureStore) -> dict[str, Rows]:
        """The encoded values of all clips, by name, mapped from disk."""
        return {each.name: gather(store.paths([each.source(clip) for clip in clips], each)) for each in self.kept}

    def _known(self, clip: Clip, store: FeatureStore) -> bool:
        return all(store.knows(feature.source(clip), feature) for feature in self.kept)

    def _read(self, clip: Clip, store: FeatureStore) -> dict[str, Tensor]:
        """The frames of a clip (time, channel, height, width), and the spectrograms of all its windows, on the CPU."""
        inputs: dict[str, Tensor] = {}
        frames = self.features["frames"]
        if not store.knows(self.steps.source(clip), self.steps):
            inputs["frames"] = frames.network_input(torch.from_numpy(read_values(frames, clip, store)[None]))[0]
        if isinstance(self.network, FusionNetwork):
            dataset = WindowDataset([clip], [clip.scene], {"spectrogram": self.features["spectrogram"]}, store)
            starts = range(dataset.steps[0] - STEPS_PER_WINDOW + 1)
            windows = dataset.batch([Window(0, start) for start in starts])
            inputs["spectrogram"] = dataset.network_inputs(windows)["spectrogram"]
        return inputs

    @torch.no_grad()
    def _encode(self, clip: Clip, inputs: Mapping[str, Tensor], store: FeatureStore) -> None:
        values: dict[str, Tensor] = {}
        with torch.autocast(self.device.type, self.autocast) if self.autocast else nullcontext():
            if "frames" in inputs:
                embedded = [self.visual.embed(piece[None])[0] for piece in self._pieces(inputs["frames"])]
                steps = values["visual_steps"] = torch.cat(embedded)
            else:
                steps = torch.tensor(store.read(self.steps.source(clip), self.steps), device=self.device)
            if isinstance(self.network, FusionNetwork):
                windows = steps.unfold(0, STEPS_PER_WINDOW, 1).transpose(1, 2)
                values["visual"] = self.network.encode_video(windows)["visual"]
                embedded = [self.network.audio.embed(piece) for piece in self._pieces(inputs["spectrogram"])]
                encoded = [self.network.encode_audio(piece) for piece in embedded]
                values |= {name: torch.cat([piece[name] for piece in encoded]) for name in encoded[0]}
        for feature in self.kept:
            if feature.name in values:
                store.write(feature.source(clip), feature, values[feature.name].float().cpu().numpy())

    def _pieces(self, values: Tensor) -> Iterator[Tensor]:
        return (piece.to(self.device) for piece in torch.split(values, AT_A_TIME))


def check_cacheable(recipe: RecipeConfig, network: type[SceneNetwork], precision: object) -> None:
    """Refuse `recipe.cache_frozen` where encoded values would not stay the same from epoch to epoch.

    Raises:
        ConfigError: with the reason.
    """
    loose = [part for part in network.encoding_parts if not any(lies_in(part, name) for name in recipe.frozen)]
    augmented = [
        name
        for name in network.inputs
        if (node := getattr(recipe.augmentation, name)) and build(node, "augmentation").active
    ]
    in_front = "in front of the frozen part"
    reasons = {
        f"a {network.__name__} has no part that is kept frozen": not network.encoding_parts,
        f"recipe.frozen={recipe.frozen} leaves {' and '.join(loose)} to be trained": loose,
        f"recipe.mixup_alpha={recipe.mixup_alpha} mixes inputs, {in_front}": recipe.mixup_alpha > 0,
        f"recipe.modality_dropout={recipe.modality_dropout} drops inputs, {in_front}": recipe.modality_dropout > 0,
        f"recipe.augmentation.{' and '.join(augmented)} changes inputs, {in_front}": augmented,
        f"trainer.precision={precision} is none of {', '.join(AUTOCAST)}": precision not in AUTOCAST,
    }
    for reason, holds in reasons.items():
        if holds:
            raise ConfigError(
                f"recipe.cache_frozen=true, but {reason}",
                "What a frozen part makes of a window is kept only while it is the same in every epoch",
                "Set recipe.cache_frozen=false, which computes it in every epoch, or change the other",
            )
