"""Frozen parts of a network -> what they make of every clip, computed once and stored -> windows of it, from memory.

The frame encoder gives values per frame; all else is per window, one for each step at which a 1-s window may start:
46 in a clip of ten seconds. So a batch of encoded values is what `SceneNetwork.encode` would have made of the batch of
inputs, to float tolerance.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from sedcrnn.config.stage_config import RecipeConfig
from sedcrnn.config.targets import build
from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.window_dataset import WindowDataset, read_frames
from sedcrnn.datasets.windows import STEPS_PER_WINDOW, Window
from sedcrnn.errors import ConfigError
from sedcrnn.features.feature import Feature
from sedcrnn.features.store import FeatureStore
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.freezing import lies_in
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.visual import VisualNetwork
from sedcrnn.runs.checkpoints import weights_digest
from sedcrnn.sweeps.ranks import shared

AT_A_TIME = 50
"""Frames, or windows, in one batch of an encoder: those of ten seconds."""

AUTOCAST = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""Lightning's names of the precisions that values can be kept in; float32 holds them all."""

CPU = torch.device("cpu")

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class EncodedFeature:
    """What a frozen part makes of a clip, as the store knows it.

    Attributes:
        name: of the value, as `SceneNetwork.decode` takes it.
        base: the feature that it is made from.
        part: the part's config, the digest of its weights, and the arithmetic.
    """

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
    """The first half of a network whose parts stay as they are, over whole clips.

    Args:
        network: a visual network, or a fusion network, with the weights that it will keep.
        node: its config, complete.
        features: the features that it takes, by name.
        precision: of the arithmetic, one of `AUTOCAST`.
        device: that encodes; it gets the network's parts.
    """

    def __init__(
        self,
        network: SceneNetwork,
        node: Mapping[str, Any],
        features: Mapping[str, Feature],
        precision: str = "32-true",
        device: torch.device = CPU,
    ) -> None:
        assert isinstance(network, FusionNetwork | VisualNetwork)
        self.network, self.features, self.device = network, features, device
        self.autocast = AUTOCAST[precision]
        self.visual = network.visual if isinstance(network, FusionNetwork) else network
        visual_node = node["visual"] if isinstance(network, FusionNetwork) else node
        # Stages with other heads on one encoder share what it makes of the frames.
        encoder_node = {key: value for key, value in visual_node.items() if key not in VisualNetwork.head_arguments}

        def made_by(part: torch.nn.Module, part_node: Mapping[str, Any]) -> dict[str, object]:
            weights = weights_digest({key: value.cpu() for key, value in part.state_dict().items()})
            return {"network": part_node, "weights": weights, "precision": precision, "device": device.type}

        encoder = made_by(self.visual.encoder, encoder_node)
        self.picture = [EncodedFeature("visual_steps", features["frames"], encoder)]
        self.sound: list[EncodedFeature] = []
        if isinstance(network, FusionNetwork):
            self.picture.append(EncodedFeature("visual", features["frames"], made_by(network.visual, visual_node)))
            audio = made_by(network.audio, node["audio"])
            self.sound = [EncodedFeature(name, features["spectrogram"], audio) for name in ("audio_steps", "audio")]

    @property
    def kept(self) -> list[EncodedFeature]:
        """All that is stored of a clip."""
        return [*self.picture, *self.sound]

    def encode_all(self, clips: Sequence[Clip], store: FeatureStore, workers: int) -> None:
        """Make sure that the store holds the encoded values of every clip; whole entries only, so a kill loses one.
        Processes that were started together share the work; each returns when the store holds everything.

        Args:
            clips: whose features are in the store (or, frames that are not stored, in their files).
            store: of the features and of the encoded values.
            workers: clips that are read ahead.

        Raises:
            ClipError: a video that cannot be decoded, where frames are not stored.
        """
        to_do = shared([clip for clip in clips if not self._known(clip, store)])
        parts = self.network if isinstance(self.network, FusionNetwork) else self.visual.encoder
        parts.to(self.device).eval()
        read = _ahead(lambda clip: self._read(clip, store), to_do, workers)
        for clip, inputs in tqdm(read, total=len(to_do), desc="Encoding, once", unit="clip", disable=not to_do):
            if not self._known(clip, store):
                self._encode(clip, inputs, store)

    def read(self, clips: Sequence[Clip], store: FeatureStore) -> dict[str, list[NDArray[np.float32]]]:
        """The encoded values of every clip, by name, mapped from disk; errors as `FeatureStore.open`."""
        return {value.name: [store.read(value.source(clip), value) for clip in clips] for value in self.kept}

    def _known(self, clip: Clip, store: FeatureStore) -> bool:
        return all(store.knows(feature.source(clip), feature) for feature in self.kept)

    def _read(self, clip: Clip, store: FeatureStore) -> dict[str, Tensor]:
        """The frames of a clip (time, channel, height, width), and all its windows of sound, on the CPU."""
        inputs: dict[str, Tensor] = {}
        frames, (steps, *_) = self.features["frames"], self.picture
        if not store.knows(steps.source(clip), steps):
            inputs["frames"] = read_frames(frames, clip, store)
        if self.sound:
            windows = WindowDataset([clip], [clip.scene], {"spectrogram": self.features["spectrogram"]}, store)
            starts = range(windows.steps[0] - STEPS_PER_WINDOW + 1)
            inputs["spectrogram"] = windows[[Window(0, start) for start in starts]]["spectrogram"]
        return inputs

    @torch.no_grad()
    def _encode(self, clip: Clip, inputs: Mapping[str, Tensor], store: FeatureStore) -> None:
        values: dict[str, Tensor] = {}
        with self._arithmetic():
            if "frames" in inputs:
                seen = [self.visual.embed(piece[None])[0] for piece in self._pieces(inputs["frames"])]
                steps = values["visual_steps"] = torch.cat(seen)
            else:
                known = store.read(self.picture[0].source(clip), self.picture[0])
                steps = torch.from_numpy(np.array(known)).to(self.device)
            if isinstance(self.network, FusionNetwork):
                windows = steps.unfold(0, STEPS_PER_WINDOW, 1).transpose(1, 2)
                values["visual"] = self.network.encode_picture(windows)["visual"]
                audio = self.network.audio
                heard = [self.network.encode_sound(audio.embed(piece)) for piece in self._pieces(inputs["spectrogram"])]
                values |= {name: torch.cat([piece[name] for piece in heard]) for name in heard[0]}
        for feature in self.kept:
            if feature.name in values:
                store.write(feature.source(clip), feature, values[feature.name].float().cpu().numpy())

    def _pieces(self, values: Tensor) -> Iterator[Tensor]:
        return (piece.to(self.device) for piece in torch.split(values, AT_A_TIME))

    def _arithmetic(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, self.autocast) if self.autocast else nullcontext()


def check_cacheable(recipe: RecipeConfig, network: type[SceneNetwork], precision: object) -> None:
    """Refuse `recipe.cache_frozen` where encoded values would not stay the same from epoch to epoch.

    Args:
        recipe: of the stage.
        network: class of its network.
        precision: of its trainer.

    Raises:
        ConfigError: with the reason.
    """
    loose = [part for part in network.encoding_parts if not any(lies_in(part, name) for name in recipe.frozen)]
    augmented = [
        name
        for name in network.inputs
        if (node := getattr(recipe.augmentation, name)) and build(node, "augmentation").active
    ]
    reason = None
    if not network.encoding_parts:
        reason = f"a {network.__name__} has no part that is kept frozen"
    elif loose:
        reason = f"recipe.frozen={recipe.frozen} leaves {' and '.join(loose)} to be trained"
    elif recipe.mixup_alpha > 0:
        reason = f"recipe.mixup_alpha={recipe.mixup_alpha} mixes inputs, in front of the frozen part"
    elif recipe.modality_dropout > 0:
        reason = f"recipe.modality_dropout={recipe.modality_dropout} drops inputs, in front of the frozen part"
    elif augmented:
        reason = f"recipe.augmentation.{augmented[0]} changes inputs, in front of the frozen part"
    elif precision not in AUTOCAST:
        reason = f"trainer.precision={precision} is none of {', '.join(AUTOCAST)}"
    if reason:
        raise ConfigError(
            f"recipe.cache_frozen=true, but {reason}",
            "What a frozen part makes of a window is kept only while it is the same in every epoch",
            "Set recipe.cache_frozen=false, which computes it in every epoch, or change the other",
        )


def _ahead(make: Callable[[Given], Made], given: Sequence[Given], workers: int) -> Iterator[tuple[Given, Made]]:
    """Every item with what is made of it, in order; a few are made ahead, in threads of their own."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        waiting: deque[Any] = deque()
        for item in given:
            waiting.append((item, pool.submit(make, item)))
            if len(waiting) > workers:
                first, made = waiting.popleft()
                yield first, made.result()
        for first, made in waiting:
            yield first, made.result()
