"""Clips and their stored features -> batches of aligned 1-s windows.

A batch is a dict of tensors:

    spectrogram   (batch, channel, band, frame) float32 in [-1, 1], each window scaled by itself
    frames        (batch, time=5, channel=3, height, width) uint8, RGB
    scene         (batch,) int64, index into the data set's scenes; -1 where unlabelled
    clip          (batch,) int64, index into the fold's clips
    window        (batch,) int64, second of the clip at which the window starts, rounded down

with `spectrogram` and `frames` only where the network takes them; an `EncodedDataset` has what a frozen part of the
network made of them in their place.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sedcrnn.augmentation import Augmentation
from sedcrnn.datasets.clips import UNLABELLED, Clip
from sedcrnn.datasets.windows import STEPS_PER_WINDOW, ConsecutiveWindows, RandomWindows, Window
from sedcrnn.errors import ConfigError
from sedcrnn.features.feature import STEPS_PER_SECOND, Feature
from sedcrnn.features.spectrogram import scale_window
from sedcrnn.features.store import FeatureStore

Batch = dict[str, Tensor]

PER_STEP = {"visual_steps"}
"""Encoded values with a row per step of a clip; the others have a row per window."""


class ClipWindows(Dataset[Batch]):
    """The clips of one fold; indexed by a whole batch of windows at a time.

    Args:
        clips: the fold, or any clips.
        scenes: label order.

    Attributes:
        steps: length of each clip.
    """

    steps: list[int]

    def __init__(self, clips: Sequence[Clip], scenes: Sequence[str]) -> None:
        self.clips = clips
        self.scene = torch.tensor([-1 if clip.scene == UNLABELLED else scenes.index(clip.scene) for clip in clips])

    def __getitem__(self, windows: list[Window]) -> Batch:
        """The labels of the windows, to which subclasses add values."""
        clip = torch.tensor([window.clip for window in windows])
        second = torch.tensor([window.step // STEPS_PER_SECOND for window in windows])
        return {"scene": self.scene[clip], "clip": clip, "window": second}


class WindowDataset(ClipWindows):
    """Windows of the features as they are stored.

    Args:
        clips: the fold, or any clips.
        scenes: label order.
        features: `spectrogram`, `frames` or both.
        store: where their values lie.
        augmentations: by name of the feature, of windows that have a `draw`.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        scenes: Sequence[str],
        features: Mapping[str, Feature],
        store: FeatureStore,
        augmentations: Mapping[str, Augmentation] | None = None,
    ) -> None:
        super().__init__(clips, scenes)
        self.features = features
        self.augmentations = {name: each for name, each in (augmentations or {}).items() if each.active}
        self.entries = {
            name: [store.path(feature.source(clip), feature) for clip in clips] for name, feature in features.items()
        }
        self.steps = [self._count_steps(clip) for clip in range(len(clips))]

    def __getitem__(self, windows: list[Window]) -> Batch:
        batch = super().__getitem__(windows)
        if feature := self.features.get("spectrogram"):
            stored = np.stack([self._cut(window, "spectrogram") for window in windows])
            decibels = torch.from_numpy(feature.decode(stored.transpose(0, 2, 3, 1)))
            augmented = self._augmented("spectrogram", decibels, windows)
            batch["spectrogram"] = torch.from_numpy(scale_window(augmented.numpy()))
        if "frames" in self.features:
            frames = np.stack([self.features["frames"].decode(self._cut(window, "frames")) for window in windows])
            pictures = torch.from_numpy(frames).permute(0, 1, 4, 2, 3).contiguous()
            batch["frames"] = self._augmented("frames", pictures, windows)
        return batch

    def _cut(self, window: Window, name: str) -> np.ndarray:
        per_step = self.features[name].per_step
        return self._read(window.clip, name)[window.step * per_step : (window.step + STEPS_PER_WINDOW) * per_step]

    def _augmented(self, name: str, values: Tensor, windows: Sequence[Window]) -> Tensor:
        if (augmentation := self.augmentations.get(name)) is None:
            return values
        changed = [
            one if window.draw is None else augmentation(one, window.draw)
            for one, window in zip(values, windows, strict=True)
        ]
        return torch.stack(changed)

    def _read(self, clip: int, name: str) -> np.ndarray:
        if not self.features[name].stored:
            raise ConfigError(
                f"features.{name}.storage=none stores no {name}, and this stage reads them",
                "Only a stage that caches what a frozen encoder makes of them can do without (recipe.cache_frozen)",
                f"Set features.{name}.storage=raw or jpeg",
            )
        return FeatureStore.open(self.entries[name][clip])

    def _count_steps(self, clip: int) -> int:
        """Steps that every feature of the clip has; sound and picture may differ by a little in length."""
        return min(len(self._read(clip, name)) // feature.per_step for name, feature in self.features.items())


class EncodedDataset(ClipWindows):
    """Windows of what a frozen part made of the clips, all of it in memory.

    Args:
        clips: the fold.
        scenes: label order.
        encoded: name of the value -> each clip's values, (row, ...); `PER_STEP` says what a row is.

    Attributes:
        values: name -> all clips' values, one after the other (row, ...).
        first: name -> each clip's first row.
    """

    def __init__(
        self, clips: Sequence[Clip], scenes: Sequence[str], encoded: Mapping[str, Sequence[NDArray[np.float32]]]
    ) -> None:
        super().__init__(clips, scenes)
        self.values = {name: torch.from_numpy(np.concatenate(arrays)) for name, arrays in encoded.items()}
        rows = {name: [len(array) for array in arrays] for name, arrays in encoded.items()}
        self.first = {name: torch.tensor([0, *counts[:-1]]).cumsum(0) for name, counts in rows.items()}
        lengths = [
            counts if name in PER_STEP else [count + STEPS_PER_WINDOW - 1 for count in counts]
            for name, counts in rows.items()
        ]
        self.steps = [min(steps) for steps in zip(*lengths, strict=True)]
        self._offsets = torch.arange(STEPS_PER_WINDOW)

    def __getitem__(self, windows: list[Window]) -> Batch:
        batch = super().__getitem__(windows)
        step = torch.tensor([window.step for window in windows])
        for name, values in self.values.items():
            row = self.first[name][batch["clip"]] + step
            batch[name] = values[row[:, None] + self._offsets if name in PER_STEP else row]
        return batch


def read_frames(frames: Feature, clip: Clip, store: FeatureStore) -> Tensor:
    """All frames of a clip (time, channel=3, height, width) uint8: as stored, or of its file where none are.

    Raises:
        ClipError: the file cannot be read.
    """
    source = frames.source(clip)
    kept = store.read(source, frames) if frames.stored else frames.extract(source)
    return torch.from_numpy(np.array(frames.decode(kept))).permute(0, 3, 1, 2)


def window_loader(dataset: ClipWindows, batches: RandomWindows | ConsecutiveWindows, workers: int) -> DataLoader[Batch]:
    """Batches of windows from a number of processes; 0 loads in this one."""
    # The sampler yields whole batches, so the loader neither batches nor collates; Lightning finds
    # `sampler.set_epoch` there by itself.
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=batches,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
