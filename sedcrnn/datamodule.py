"""Data set -> features in the store -> folds -> batches of aligned 1-s windows, for all three models.

A batch is a dict of tensors:

    spectrogram   (batch, channel, band, frame) float32 in [-1, 1], each window scaled by itself
    frames        (batch, time=5, channel=3, height, width) uint8, RGB
    scene         (batch,) int64, index into the data set's scenes; -1 where unlabelled
    clip          (batch,) int64, index into the fold's clips
    window        (batch,) int64, second of the clip at which the window starts, rounded down

with `spectrogram` and `frames` only where the network takes them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sedcrnn.augmentation import Augmentation, SpectrogramAugmentation
from sedcrnn.clips import UNLABELLED, Clip, Manifest
from sedcrnn.config import DataConfig, digest, instantiate
from sedcrnn.errors import DataError
from sedcrnn.features.extraction import Unreadable, extract_all
from sedcrnn.features.feature import STEPS_PER_SECOND, Feature
from sedcrnn.features.spectrogram import Spectrogram, scale_window
from sedcrnn.features.store import FeatureStore
from sedcrnn.folds import Folds, make_folds
from sedcrnn.windows import STEPS_PER_WINDOW, ConsecutiveWindows, RandomWindows, Window

Batch = dict[str, Tensor]


class WindowDataset(Dataset[Batch]):
    """The clips of one fold; indexed by a whole batch of windows at a time.

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
        self.clips = clips
        self.features = features
        self.augmentations = {name: each for name, each in (augmentations or {}).items() if each.active}
        self.entries = {
            name: [store.path(feature.source(clip), feature) for clip in clips] for name, feature in features.items()
        }
        self.scene = torch.tensor([-1 if clip.scene == UNLABELLED else scenes.index(clip.scene) for clip in clips])
        self.steps = [self._count_steps(clip) for clip in range(len(clips))]

    def __getitem__(self, windows: list[Window]) -> Batch:
        batch = {
            "scene": self.scene[[window.clip for window in windows]],
            "clip": torch.tensor([window.clip for window in windows]),
            "window": torch.tensor([window.step // STEPS_PER_SECOND for window in windows]),
        }
        if feature := self.features.get("spectrogram"):
            stored = np.stack([self._cut(window, "spectrogram") for window in windows])
            decibels = torch.from_numpy(feature.decode(stored.transpose(0, 2, 3, 1)))
            augmented = self._augmented("spectrogram", decibels, windows)
            batch["spectrogram"] = torch.from_numpy(scale_window(augmented.numpy()))
        if "frames" in self.features:
            frames = np.stack([self._cut(window, "frames") for window in windows])
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
        return FeatureStore.open(self.entries[name][clip])

    def _count_steps(self, clip: int) -> int:
        """Steps that every feature of the clip has; sound and picture may differ by a little in length."""
        return min(len(self._read(clip, name)) // feature.per_step for name, feature in self.features.items())


def window_loader(
    dataset: WindowDataset, batches: RandomWindows | ConsecutiveWindows, workers: int
) -> DataLoader[Batch]:
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


class SceneDataModule(LightningDataModule):
    """Folds of a data set as batches of windows.

    Args:
        data: source, selection protocol and its seed, policy for unreadable clips, loader workers.
        features: the features that the network takes, by name.
        store: where they are kept.
        batch_size: windows per batch and process.
        seed: seed of the training windows and of their order.
        augmentations: of the training windows, by name of the feature.

    Raises:
        ConfigError: an augmentation that does not fit the spectrograms.
    """

    manifest: Manifest
    folds: Folds
    skipped: tuple[Unreadable, ...]

    def __init__(
        self,
        data: DataConfig,
        features: Mapping[str, Feature],
        store: FeatureStore,
        batch_size: int,
        seed: int,
        augmentations: Mapping[str, Augmentation] | None = None,
    ) -> None:
        super().__init__()
        self.augmentations = augmentations or {}
        sound, change = features.get("spectrogram"), self.augmentations.get("spectrogram")
        if isinstance(change, SpectrogramAugmentation) and isinstance(sound, Spectrogram):
            change.check(sound.layout, sound.bank.bands, STEPS_PER_WINDOW * sound.per_step)
        self.data, self.features, self.store = data, features, store
        self.batch_size, self.seed = batch_size, seed
        self._datasets: dict[str, WindowDataset] = {}
        self._ready = False

    def prepare_data(self) -> None:
        """Make what is missing: the data set itself where it is generated, and the features of all clips."""
        if self._ready:
            return
        source = instantiate(self.data.source)
        source.prepare()
        manifest: Manifest = source.manifest()
        self.skipped = extract_all(
            manifest.clips, list(self.features.values()), self.store, self.data.workers, self.data.unreadable
        )
        left_out = {unreadable.clip for unreadable in self.skipped}
        readable = tuple(clip for clip in manifest.clips if clip.id not in left_out)
        self.manifest = Manifest(manifest.name, manifest.scenes, readable)
        self.folds = make_folds(
            self.manifest, self.data.selection, self.data.validation_share, self.data.validation_seed
        )
        self._ready = True

    def setup(self, stage: str | None = None) -> None:
        """Nothing beyond `prepare_data`, which every process runs for itself: what it makes is found, not made."""
        self.prepare_data()

    @property
    def identity(self) -> dict[str, Any]:
        """What the data are: their name and a digest of every clip's labels, fold and feature contents."""
        rows = [
            [clip.id, clip.scene, clip.location, clip.fold]
            + [self.store.key(feature.source(clip), feature) for feature in self.features.values()]
            for clip in self.manifest.clips
        ]
        return {
            "name": self.manifest.name,
            "clips": len(rows),
            "digest": digest([self.manifest.scenes, rows]),
        }

    @property
    def dimensions(self) -> dict[str, int]:
        """What the data decide of a network's shape: `scenes`, and the `channels` of the spectrogram."""
        sound = self.features.get("spectrogram")
        channels = {"channels": len(sound.layout.names)} if isinstance(sound, Spectrogram) else {}
        return {"scenes": len(self.manifest.scenes), **channels}

    def train_dataloader(self) -> DataLoader[Batch]:
        """One random window of every training clip per epoch."""
        dataset = self.dataset("train")
        ids = [clip.id for clip in dataset.clips]
        windows = RandomWindows(ids, dataset.steps, self.batch_size, self.seed, *self._place())
        return window_loader(dataset, windows, self.data.loader_workers)

    def val_dataloader(self) -> DataLoader[Batch]:
        """All windows of the clips that select the checkpoint."""
        return self.evaluation_loader("validation")

    def test_dataloader(self) -> DataLoader[Batch]:
        """All windows of the clips that are reported."""
        return self.evaluation_loader("test")

    def evaluation_loader(self, fold: str) -> DataLoader[Batch]:
        """All consecutive windows of every clip of a fold, once."""
        dataset = self.dataset(fold)
        windows = ConsecutiveWindows(dataset.steps, self.batch_size, *self._place())
        return window_loader(dataset, windows, self.data.loader_workers)

    def dataset(self, fold: str) -> WindowDataset:
        """The clips of a fold with their features.

        Raises:
            DataError: the fold has no clips (left).
        """
        if fold not in self._datasets:
            clips: tuple[Clip, ...] = getattr(self.folds, fold)
            if not clips:
                raise DataError(
                    f"The {fold} fold of the data set '{self.manifest.name}' has no clips"
                    + (f" ({len(self.skipped)} clips were skipped as unreadable)" if self.skipped else ""),
                    "Every fold needs at least one clip",
                    "Check the data set's lists and its media files",
                )
            self._datasets[fold] = WindowDataset(
                clips, self.manifest.scenes, self.features, self.store, self.augmentations
            )
        return self._datasets[fold]

    def _place(self) -> tuple[int, int]:
        """This process's rank and the number of processes."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
