"""Data set -> features in the store -> folds -> batches of aligned 1-s windows (`window_dataset`)."""

import copy
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, Self

import torch
from torch.utils.data import DataLoader

from sedcrnn.augmentation import Augmentation
from sedcrnn.config.checking import digest
from sedcrnn.config.stage_config import DataConfig
from sedcrnn.config.targets import build
from sedcrnn.datasets.clips import Clip, DataSource, Manifest
from sedcrnn.datasets.cross_validation import hold_out
from sedcrnn.datasets.folds import Folds, make_folds, shuffle_labels
from sedcrnn.datasets.identity import check_contents
from sedcrnn.datasets.incomplete import Incomplete, make_incomplete
from sedcrnn.datasets.window_dataset import (
    Batch,
    ClipWindows,
    EncodedDataset,
    WindowDataset,
    read_values,
    window_loader,
)
from sedcrnn.datasets.windows import STEPS_PER_WINDOW, ConsecutiveWindows, RandomWindows
from sedcrnn.errors import ConfigError, DataError
from sedcrnn.features.extraction import Extraction, Unreadable, extract_all
from sedcrnn.features.feature import Feature
from sedcrnn.features.pack import Pack, make_pack
from sedcrnn.features.store import FeatureStore
from sedcrnn.training.frozen_cache import FrozenEncoder


class SceneData:
    """Folds of a data set as batches of windows; `augmentations` change those of training, by name of the feature.

    `prepare_data` writes to disk and `setup` sets the attributes, as Lightning asks of its data modules (`datamodule`);
    both may be called again.
    """

    manifest: Manifest  # without skipped clips
    folds: Folds
    skipped: tuple[Unreadable, ...]  # clips that could not be read, or lack all that the network takes
    incomplete: Incomplete  # clips that lack a part of it

    def __init__(
        self,
        data: DataConfig,
        features: Mapping[str, Feature],
        store: FeatureStore,
        batch_size: int,
        seed: int,
        augmentations: Mapping[str, Augmentation] | None = None,
    ) -> None:
        # Of features alone that the network takes, as the recipe is the same for networks of others.
        self.augmentations = {name: one for name, one in (augmentations or {}).items() if name in features}
        for name, augmentation in self.augmentations.items():
            augmentation.check(features[name])
        if data.unreadable == "skip" and (unstored := [name for name in features if not features[name].stored]):
            raise ConfigError(
                f"data.unreadable=skip with features.{unstored[0]}.storage=none",
                "Clips are left out before the folds are made, and what is not stored is read only after that",
                f"Set data.unreadable=stop, or features.{unstored[0]}.storage=jpeg",
            )
        self.data, self.features, self.store = data, features, store
        self.batch_size, self.seed = batch_size, seed
        self._encoder: FrozenEncoder | None = None
        self._prepared: tuple[Manifest, Extraction] | None = None  # so that neither is done twice
        self._datasets: dict[str, ClipWindows] = {}

    def encoded_by(self, encoder: FrozenEncoder) -> Self:
        """The same data, as batches of what an encoder makes of the features."""
        encoded = copy.copy(self)
        encoded._encoder, encoded._datasets = encoder, {}
        return encoded

    def prepare_data(self) -> None:
        """Write what is missing: the data set itself where it is generated, and the features of all clips."""
        if hasattr(self, "folds"):
            return  # `setup` has found everything there; Lightning calls this once more
        source: DataSource = build(self.data.source, "data_source")
        source.prepare()
        manifest = self._manifest(source)
        self._divide(manifest)  # what is wrong with the folds is known before hours of extraction
        self._prepared = manifest, self._extract(manifest)

    def setup(self, stage: str | None = None) -> None:
        """Read the manifest and divide it into folds; what an encoder makes of them is computed by all processes
        together, where it is not in the store."""
        if not hasattr(self, "folds"):
            if self._prepared is None:  # by another process of this computer
                manifest = self._manifest(build(self.data.source, "data_source"))
                self._prepared = manifest, self._extract(manifest)
            # All that is missing are clips that cannot be read, or lack a track.
            manifest, found = self._prepared
            readable = _without(manifest, found.unreadable)
            folds = self._divide(readable)  # the same for networks of audio, of video and of both
            one_input = len(self.features) == 1
            useless = [
                Unreadable(clip.id, f"It has no {self.features[name].track}, and the network takes nothing else")
                for name, ids in found.lacking.items()
                for clip in readable.clips
                if one_input and clip.id in ids
            ]
            self.skipped = (*found.unreadable, *useless)
            self.manifest = _without(readable, useless)
            self.incomplete = make_incomplete(self.manifest.clips, {} if one_input else found.lacking)
            kept = {clip.id for clip in self.manifest.clips}
            folds = Folds(
                **{name: tuple(clip for clip in fold if clip.id in kept) for name, fold in vars(folds).items()}
            )
            tracks = {self.features[name].track: keys for name, keys in self._keys.items()}
            check_contents(folds, self.manifest.clips, tracks)
            self.folds = folds
        if self._encoder is not None and not self._datasets:
            self._make_datasets("train", "validation")

    @property
    def identity(self) -> dict[str, Any]:
        """What the data are: their name and a digest of every clip's labels, fold and feature contents."""
        keyed = zip(self.manifest.clips, *self._keys.values(), strict=True)
        rows = [
            [one.id, one.scene if one.labels is None else one.labels, one.location, one.fold, *keys]
            for one, *keys in keyed
        ]
        return {"name": self.manifest.name, "clips": len(rows), "digest": digest([self.manifest.scenes, rows])}

    @cached_property
    def _keys(self) -> dict[str, list[str]]:
        """Of every feature, what stands for the bytes of each clip's file."""
        clips = self.manifest.clips
        return {
            name: self.store.keys([feature.source(clip) for clip in clips], feature)
            for name, feature in self.features.items()
        }

    @property
    def cities(self) -> list[str]:
        """The cities of all clips; empty where that of any is not known."""
        cities = {clip.city for clip in self.manifest.clips}
        return sorted(cities) if all(cities) else []

    @property
    def dimensions(self) -> dict[str, int]:
        """What the data decide of a network: the number of `scenes`, the features' dimensions, and whether it is
        `multi_label`, if so."""
        dimensions = {"scenes": len(self.manifest.scenes)}
        if self.manifest.multi_label:
            dimensions["multi_label"] = True
        for feature in self.features.values():
            dimensions |= feature.dimensions
        return dimensions

    def evaluation_loader(self, fold: str) -> DataLoader[Batch]:
        """All consecutive windows of every clip of a fold, once."""
        dataset = self.dataset(fold)
        return self._loader(dataset, ConsecutiveWindows(dataset.steps, self.batch_size, *self._rank()))

    def dataset(self, fold: str) -> ClipWindows:
        """The clips of a fold with their features, or with what the encoder makes of them."""
        if fold not in self._datasets:
            self._make_datasets(fold)
        return self._datasets[fold]

    def _make_datasets(self, *folds: str) -> None:
        """What is encoded of several folds is packed as one, which is then the same however a seed divides them."""
        scenes, encoder, store = self.manifest.scenes, self._encoder, self.store
        clips = {fold: self._clips(fold) for fold in folds}
        if encoder is None:
            for fold, own in clips.items():
                dataset = WindowDataset(
                    own, scenes, self.features, store, self.augmentations, self._packs, self.incomplete
                )
                self._datasets[fold] = dataset
            return
        together = [clip for own in clips.values() for clip in own]
        encoder.encode_all(together, store, self.data.extraction_workers)
        encoded, start = encoder.read(together, store), 0
        for fold, own in clips.items():
            end = start + len(own)
            values = {name: rows.of_clips(start, end) for name, rows in encoded.items()}
            about = (list(self.features), encoder.made_of, self.incomplete)
            self._datasets[fold], start = EncodedDataset(own, scenes, values, *about), end

    def _clips(self, fold: str) -> tuple[Clip, ...]:
        clips: tuple[Clip, ...] = getattr(self.folds, fold)
        if not clips:
            raise DataError(
                f"The {fold} fold of the data set '{self.manifest.name}' has no clips"
                + (f" ({len(self.skipped)} clips were skipped as unreadable)" if self.skipped else ""),
                "Every fold needs at least one clip",
                "Check the data set's lists and its media files",
            )
        return clips

    def example(self, fold: str) -> Batch:
        """The network's inputs for the first window of a fold, as a batch of one; of the features, not encoded."""
        first, inputs = getattr(self.folds, fold)[0], {}
        for name, feature in self.features.items():
            clip = self.incomplete.instead(name, first)
            values = read_values(feature, clip, self.store, steps=STEPS_PER_WINDOW)
            inputs[name] = feature.network_input(torch.tensor(values[None]))
        return inputs

    @cached_property
    def _packs(self) -> dict[str, Pack]:
        """The files out of which windows of all clips are cut, of the features that are small enough."""
        packed = {name: feature for name, feature in self.features.items() if feature.packed}
        entries = {
            name: self.store.paths(
                [feature.source(clip) for clip in self.manifest.clips if not self.incomplete.lacks(name, clip)], feature
            )
            for name, feature in packed.items()
        }
        return {name: pack for name in packed if (pack := make_pack(entries[name])) is not None}

    def _manifest(self, source: DataSource) -> Manifest:
        return hold_out(source.manifest(), self.data)

    def _divide(self, manifest: Manifest) -> Folds:
        data = self.data
        folds = make_folds(manifest, data.selection, data.validation_fraction, data.validation_seed)
        return shuffle_labels(folds, data.validation_seed) if data.shuffle_labels else folds

    def _extract(self, manifest: Manifest) -> Extraction:
        features, data = list(self.features.values()), self.data
        policies = (data.unreadable, data.incomplete)
        return extract_all(manifest.clips, features, self.store, data.extraction_workers, *policies)

    def _loader(self, dataset: ClipWindows, batches: RandomWindows | ConsecutiveWindows) -> DataLoader[Batch]:
        slow = isinstance(dataset, WindowDataset) and not all(each.on_device for each in self.features.values())
        workers = choose_num_workers(self.data.num_workers, slow, processes=self._rank()[1])
        return window_loader(dataset, batches, workers)

    def _rank(self) -> tuple[int, int]:
        return 0, 1  # rank and world size


def _without(manifest: Manifest, left_out: Sequence[Unreadable]) -> Manifest:
    if not left_out:
        return manifest
    ids = {one.clip for one in left_out}
    return Manifest(manifest.name, manifest.scenes, tuple(clip for clip in manifest.clips if clip.id not in ids))


def choose_num_workers(setting: int | Literal["auto"], slow: bool, processes: int = 1, cores: int | None = None) -> int:
    """Processes that load batches, as `data.num_workers` says. `auto` reads what is quick to read in this process; for
    what is slow it leaves half of the cores, which so many processes share, to the network."""
    if setting != "auto":
        return setting
    if cores is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    own = cores // processes
    return min(8, own // 2) if slow and own > 2 else 0  # a GPU takes batches no faster than 8 processes load them
