"""Clips and their stored features -> aligned 1-s windows, one by one or in batches.

A window is a dict of tensors, and a batch one of tensors with a batch axis in front:

    spectrogram   (column, channel, band) as stored; after `network_inputs` (channel, band, column) float32 in [-1, 1]
    frames        (time=5, channel=3, height, width) uint8, RGB
    scene         int64, index into the data set's scenes; -1 where unlabelled
    clip          int64, index into the fold's clips
    window        int64, second of the clip at which the window starts, rounded down
    present       (input,) bool, whether the clip has what each input is made from; only where a clip of the data set
                  lacks something (`incomplete`)

with the features that the network takes, each under its name in the config; an `EncodedDataset` has what a frozen part
of the network made of them in their place. Features that say so (`Feature.on_device`) are cut as they are stored, and
become network input (`ClipWindows.network_inputs`) where the network is, a whole batch at a time.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sedcrnn.augmentation import Augmentation, Draws
from sedcrnn.datasets.clips import UNLABELLED, Clip
from sedcrnn.datasets.incomplete import COMPLETE, Incomplete
from sedcrnn.datasets.windows import STEPS_PER_WINDOW, ConsecutiveWindows, RandomWindows, Window
from sedcrnn.errors import ConfigError
from sedcrnn.features.feature import STEPS_PER_SECOND, Feature, Values
from sedcrnn.features.pack import Pack, Rows
from sedcrnn.features.store import FeatureStore
from sedcrnn.networks import PRESENT

Batch = dict[str, Any]
"""Tensors; and arrays of what stays on the CPU: JPEG files that a GPU is to decode, and `draws`."""

UNBOUNDED = 1 << 60  # steps of what a clip lacks, which do not bound its length

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

    def __init__(
        self, clips: Sequence[Clip], scenes: Sequence[str], steps: Sequence[int], present: Tensor | None = None
    ) -> None:
        self.clips, self.steps, self.present = clips, list(steps), present
        if clips and clips[0].labels is not None:  # (clip, scene) whether it is there; else (clip,) which it is
            self.scene = torch.tensor([[scene in clip.scenes for scene in scenes] for clip in clips])
        else:
            numbers = [-1 if clip.scene == UNLABELLED else scenes.index(clip.scene) for clip in clips]
            self.scene = torch.tensor(numbers)
        self._ends = list(accumulate(length // STEPS_PER_WINDOW for length in steps))  # in whole seconds

    @abstractmethod
    def values(self, windows: Sequence[Window]) -> Batch:
        """The network's inputs, or what they are made from or were encoded as: name -> (window, ...)."""

    def network_inputs(self, batch: Batch) -> Batch:
        """A batch that a loader gave, on the network's device, as the network takes it."""
        return batch

    def batch(self, windows: Sequence[Window]) -> Batch:
        """Windows with their labels, as one batch."""
        clip = _tensor([window.clip for window in windows])
        second = _tensor([window.step // STEPS_PER_SECOND for window in windows])
        batch = {**self.values(windows), "scene": self.scene[clip], "clip": clip, "window": second}
        return batch if self.present is None else {**batch, PRESENT: self.present[clip]}

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
    """Windows of stored features, by name of the network's input; those that have a `draw` are augmented.

    `packs` holds all entries of a feature in one file, where there is such a file (`features.pack`); `incomplete` says
    which clips lack a feature.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        scenes: Sequence[str],
        features: Mapping[str, Feature],
        store: FeatureStore,
        augmentations: Mapping[str, Augmentation] | None = None,
        packs: Mapping[str, Pack] | None = None,
        incomplete: Incomplete = COMPLETE,
    ) -> None:
        for name, feature in features.items():
            if not feature.stored:
                raise ConfigError(
                    f"features.{name}.storage=none stores no {name}, and this stage reads them",
                    "Only a stage that caches what a frozen encoder makes of them can do without (recipe.cache_frozen)",
                    f"Set features.{name}.storage=raw or jpeg",
                )
        self.features, self.packs = features, packs or {}
        self.augmentations = {name: each for name, each in (augmentations or {}).items() if each.active}
        self._lacks = {name: [incomplete.lacks(name, clip) for clip in clips] for name in features}
        self.entries = {
            name: store.paths([feature.source(incomplete.instead(name, clip)) for clip in clips], feature)
            for name, feature in features.items()
        }
        self._bounds = {name: [pack.bounds[entry] for entry in self.entries[name]] for name, pack in self.packs.items()}
        # Steps that every feature of a clip has; audio and video may differ by a little in length.
        steps = [
            [
                UNBOUNDED if lacks else rows // feature.per_step
                for rows, lacks in zip(rows, self._lacks[name], strict=True)
            ]
            for name, feature in features.items()
            for rows in [self._count_rows(name)]
        ]
        present = incomplete.present(list(features), clips)
        super().__init__(clips, scenes, list(map(min, zip(*steps, strict=True))), present)

    def values(self, windows: Sequence[Window]) -> Batch:
        """Network input of every feature, or what it is made from on the network's device: name -> (window, ...)."""
        draws = None if any(window.draw is None for window in windows) else _draws(windows)
        made: Batch = {}
        for name, feature in self.features.items():
            cut = self._cut(name, windows)
            if not feature.on_device:
                made[name] = self._input(name, feature.decode(torch.from_numpy(cut)), draws)
            else:
                made[name] = cut if feature.coded else torch.from_numpy(cut)  # arrays stay on the CPU
        if draws is not None and any(self.features[name].on_device for name in self.augmentations):
            made["draws"] = draws
        return made

    def network_inputs(self, batch: Batch) -> Batch:
        """A batch as the network takes it; those of features that become so on the network's device."""
        batch = dict(batch)
        draws = batch.pop("draws", None)
        for name, feature in self.features.items():
            if not feature.on_device:
                continue
            decoded = feature.decode_on(torch.as_tensor(batch[name]), batch["scene"].device)
            batch[name] = self._input(name, decoded, draws)
        return batch

    def _count_rows(self, name: str) -> list[int]:
        """Rows of a feature that each clip has."""
        if name in self.packs:
            return [end - start for start, end in self._bounds[name]]
        return [len(FeatureStore.open(entry)) for entry in self.entries[name]]

    def _cut(self, name: str, windows: Sequence[Window]) -> Values:
        """Windows of a feature as they are stored (window, row, ...)."""
        per_step, lacks = self.features[name].per_step, self._lacks[name]
        rows = STEPS_PER_WINDOW * per_step
        first = [0 if lacks[window.clip] else window.step * per_step + window.column for window in windows]
        if name in self.packs:
            packed, bounds = self.packs[name].values, self._bounds[name]
            starts = [bounds[window.clip][0] + row for window, row in zip(windows, first, strict=True)]
            return np.stack([packed[start : start + rows] for start in starts])
        opened = [
            (FeatureStore.open(self.entries[name][window.clip]), row)
            for window, row in zip(windows, first, strict=True)
        ]
        cuts = [stored[start : start + rows] for stored, start in opened]
        if self.features[name].coded:  # files, which differ in length from clip to clip
            length = max(cut.shape[-1] for cut in cuts)
            cuts = [np.pad(cut, ((0, 0), (0, length - cut.shape[-1]))) for cut in cuts]
        return np.stack(cuts)

    def _input(self, name: str, decoded: Tensor, draws: Draws | None) -> Tensor:
        augmentation = self.augmentations.get(name)
        if augmentation is None or draws is None:
            return self.features[name].network_input(decoded)
        return self.features[name].network_input(decoded, partial(augmentation.batch, draws=draws))


def _draws(windows: Sequence[Window]) -> Draws:
    return np.array([window.draw for window in windows], np.uint64)


class EncodedDataset(ClipWindows):
    """Windows of what a frozen part made of the clips: name -> rows of all of them; `inputs` are the network's, and
    `made_of` says which of them a value is made of."""

    def __init__(
        self,
        clips: Sequence[Clip],
        scenes: Sequence[str],
        encoded: Mapping[str, Rows],
        inputs: Sequence[str] = (),
        made_of: Mapping[str, str] | None = None,
        incomplete: Incomplete = COMPLETE,
    ) -> None:
        late = {name: 0 if name in PER_STEP else STEPS_PER_WINDOW - 1 for name in encoded}
        made_of = made_of or {}
        lacks = {name: [incomplete.lacks(made_of.get(name, ""), clip) for clip in clips] for name in encoded}
        counts = [np.where(lacks[name], UNBOUNDED, rows.count + late[name]) for name, rows in encoded.items()]
        super().__init__(clips, scenes, np.min(counts, axis=0).tolist(), incomplete.present(inputs, clips))
        self._lacks = {name: torch.tensor(each) for name, each in lacks.items() if any(each)}
        self._encoded = {name: torch.from_numpy(rows.values) for name, rows in encoded.items()}
        self._first_rows = {name: torch.from_numpy(rows.first) for name, rows in encoded.items()}

    def values(self, windows: Sequence[Window]) -> Batch:
        """Encoded values: name -> (window, ...)."""
        clip = _tensor([window.clip for window in windows])
        step = _tensor([window.step for window in windows])
        made: Batch = {}
        for name, values in self._encoded.items():
            own = step.masked_fill(self._lacks[name][clip], 0) if name in self._lacks else step
            row = self._first_rows[name][clip] + own
            made[name] = values[row[:, None] + torch.arange(STEPS_PER_WINDOW) if name in PER_STEP else row]
        return made


def moved(batch: Batch, device: torch.device | str) -> Batch:
    """A batch with its tensors on a device, as Lightning moves it."""
    return {
        name: values.to(device, non_blocking=True) if isinstance(values, Tensor) else values
        for name, values in batch.items()
    }


def _tensor(numbers: list[int]) -> Tensor:
    return torch.from_numpy(np.array(numbers))  # three times as fast as torch.tensor


def read_values(feature: Feature, clip: Clip, store: FeatureStore, start: int = 0, steps: int | None = None) -> Values:
    """Decoded values of a clip (row, ...) from a step on: as stored, or of its file where none are."""
    source = feature.source(clip)
    kept = store.read(source, feature) if feature.stored else feature.extract(source)
    end = None if steps is None else (start + steps) * feature.per_step
    return feature.decoded(kept[start * feature.per_step : end])


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
