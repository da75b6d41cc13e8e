"""Clips and their stored features -> aligned 1-s windows, one by one or in batches.

A window is a dict of tensors, and a batch one of tensors with a batch axis in front:

    spectrogram   (channel, band, column) float32 in [-1, 1], each window scaled by itself
    frames        (time=5, channel=3, height, width) uint8, RGB
    scene         int64, index into the data set's scenes; -1 where unlabelled
    clip          int64, index into the fold's clips
    window        int64, second of the clip at which the window starts, rounded down

with the features that the network takes, each under its name in the config; an `EncodedDataset` has what a frozen part
of the network made of them in their place.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from operator import attrgetter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sedcrnn.augmentation import Augmentation
from sedcrnn.datasets.clips import UNLABELLED, Clip
from sedcrnn.datasets.windows import STEPS_PER_WINDOW, ConsecutiveWindows, RandomWindows, Window
from sedcrnn.errors import ConfigError
from sedcrnn.features.feature import STEPS_PER_SECOND, Feature, Values
from sedcrnn.features.store import FeatureStore

Batch = dict[str, Tensor]

PER_STEP = {"visual_steps"}  # encoded values with a row per step of a clip; the others have a row per window


class Samples:
    """Windows that were read together as one batch; torch's loaders take them for a sequence of windows."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return len(self.batch["clip"])

    def __getitem__(self, index: int) -> Batch:
        return {name: values[index] for name, values in self.batch.items()}


class ClipWindows(Dataset[Batch], ABC):
    """The windows of some clips, of so many steps each, with scenes in label order.

    As any data set, it has a length and is indexed by numbers: of the whole seconds of all clips, in order. An index
    may also be a `Window`, which starts at any step.
    """

    def __init__(self, clips: Sequence[Clip], scenes: Sequence[str], steps: Sequence[int]) -> None:
        self.clips, self.steps = clips, list(steps)
        self.scene = torch.tensor([-1 if clip.scene == UNLABELLED else scenes.index(clip.scene) for clip in clips])
        self._ends = list(accumulate(length // STEPS_PER_WINDOW for length in steps))  # in whole seconds

    @abstractmethod
    def values(self, windows: Sequence[Window]) -> Batch:
        """The network's inputs, or what they were encoded as: name -> (window, ...)."""

    def batch(self, windows: Sequence[Window]) -> Batch:
        """Windows with their labels, as one batch."""
        clip = _tensor([window.clip for window in windows])
        second = _tensor([window.step // STEPS_PER_SECOND for window in windows])
        return {**self.values(windows), "scene": self.scene[clip], "clip": clip, "window": second}

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int | Window) -> Batch:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int | Window]) -> Samples:
        """Several windows at once, which is how torch's loaders ask for them."""
        return Samples(self.batch([self._window(index) for index in indices]))

    def _window(self, index: int | Window) -> Window:
        if isinstance(index, Window):
            return index
        number = range(len(self))[index]  # negative ones count from the end, and others raise an IndexError
        clip = bisect_right(self._ends, number)
        second = number - (self._ends[clip - 1] if clip else 0)
        return Window(clip, second * STEPS_PER_WINDOW)


class WindowDataset(ClipWindows):
    """Windows of stored features, by name of the network's input; those that have a `draw` are augmented."""

    def __init__(
        self,
        clips: Sequence[Clip],
        scenes: Sequence[str],
        features: Mapping[str, Feature],
        store: FeatureStore,
        augmentations: Mapping[str, Augmentation] | None = None,
    ) -> None:
        for name, feature in features.items():
            if not feature.stored:
                raise ConfigError(
                    f"features.{name}.storage=none stores no {name}, and this stage reads them",
                    "Only a stage that caches what a frozen encoder makes of them can do without (recipe.cache_frozen)",
                    f"Set features.{name}.storage=raw or jpeg",
                )
        self.features = features
        self.augmentations = {name: each for name, each in (augmentations or {}).items() if each.active}
        self.entries = {
            name: [store.path(feature.source(clip), feature) for clip in clips] for name, feature in features.items()
        }
        # Steps that every feature of a clip has; audio and video may differ by a little in length.
        steps = [
            min(len(store.open(self.entries[name][clip])) // feature.per_step for name, feature in features.items())
            for clip in range(len(clips))
        ]
        super().__init__(clips, scenes, steps)

    def values(self, windows: Sequence[Window]) -> Batch:
        """Network input of every feature: name -> (window, ...)."""
        return {name: self._input(name, windows) for name in self.features}

    def _input(self, name: str, windows: Sequence[Window]) -> Tensor:
        feature, augmentation = self.features[name], self.augmentations.get(name)
        rows = STEPS_PER_WINDOW * feature.per_step
        stored = [FeatureStore.open(self.entries[name][window.clip]) for window in windows]
        starts = [window.step * feature.per_step for window in windows]
        cuts = [values[start : start + rows] for values, start in zip(stored, starts, strict=True)]
        if len({cut.shape for cut in cuts}) == 1:
            decoded = feature.decode(np.stack(cuts))
        else:  # rows of coded frames differ in length from clip to clip
            decoded = np.stack([feature.decode(cut) for cut in cuts])

        def augmented(values: Values) -> Values:
            if augmentation is None:
                return values
            changed = [
                one if window.draw is None else augmentation(one, window.draw)
                for one, window in zip(torch.from_numpy(values), windows, strict=True)
            ]
            return torch.stack(changed).numpy()

        return torch.from_numpy(feature.network_input(decoded, augmented))


class EncodedDataset(ClipWindows):
    """Windows of what a frozen part made of the clips: name -> each clip's values (row, ...), all of it in memory."""

    def __init__(
        self, clips: Sequence[Clip], scenes: Sequence[str], encoded: Mapping[str, Sequence[NDArray[np.float32]]]
    ) -> None:
        rows = {name: np.array([len(array) for array in arrays]) for name, arrays in encoded.items()}
        lengths = [counts if name in PER_STEP else counts + STEPS_PER_WINDOW - 1 for name, counts in rows.items()]
        super().__init__(clips, scenes, np.min(lengths, axis=0).tolist())
        self._encoded = {name: torch.from_numpy(np.concatenate(arrays)) for name, arrays in encoded.items()}
        self._first_rows = {name: torch.from_numpy(counts.cumsum() - counts) for name, counts in rows.items()}

    def values(self, windows: Sequence[Window]) -> Batch:
        """Encoded values: name -> (window, ...)."""
        clip = _tensor([window.clip for window in windows])
        step = _tensor([window.step for window in windows])
        made: Batch = {}
        for name, values in self._encoded.items():
            row = self._first_rows[name][clip] + step
            made[name] = values[row[:, None] + torch.arange(STEPS_PER_WINDOW) if name in PER_STEP else row]
        return made


def _tensor(numbers: list[int]) -> Tensor:
    return torch.from_numpy(np.array(numbers))  # three times as fast as torch.tensor


def read_values(feature: Feature, clip: Clip, store: FeatureStore, start: int = 0, steps: int | None = None) -> Values:
    """Decoded values of a clip (row, ...) from a step on: as stored, or of its file where none are."""
    source = feature.source(clip)
    kept = store.read(source, feature) if feature.stored else feature.extract(source)
    end = None if steps is None else (start + steps) * feature.per_step
    return feature.decode(kept[start * feature.per_step : end])


def window_loader(
    dataset: ClipWindows, batches: RandomWindows | ConsecutiveWindows, num_workers: int
) -> DataLoader[Batch]:
    """Batches of windows, loaded by a number of processes; 0 loads in this one."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=attrgetter("batch"),
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
