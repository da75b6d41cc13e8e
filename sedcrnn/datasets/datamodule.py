"""Data set -> features in the store -> folds -> batches of aligned 1-s windows, for all three models.

`window_dataset` says what is in a batch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from sedcrnn.augmentation import Augmentation
from sedcrnn.augmentation.spectrogram_augmentation import SpectrogramAugmentation
from sedcrnn.config.checking import digest
from sedcrnn.config.stage_config import DataConfig
from sedcrnn.config.targets import build
from sedcrnn.datasets.clips import Clip, Manifest
from sedcrnn.datasets.folds import Folds, make_folds
from sedcrnn.datasets.protocols import leave_city_out, shuffle_labels
from sedcrnn.datasets.window_dataset import (
    Batch,
    ClipWindows,
    EncodedDataset,
    WindowDataset,
    read_frames,
    window_loader,
)
from sedcrnn.datasets.windows import STEPS_PER_WINDOW, ConsecutiveWindows, RandomWindows, Window
from sedcrnn.errors import ConfigError, DataError
from sedcrnn.features.extraction import Unreadable, extract_all
from sedcrnn.features.feature import Feature
from sedcrnn.features.frames import Frames
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.features.store import FeatureStore
from sedcrnn.training.frozen_cache import FrozenEncoder


class SceneDataModule(LightningDataModule):
    """Folds of a data set as batches of windows.

    Args:
        data: source, selection protocol and its seed, policy for unreadable clips, loader workers.
        features: the features that the network takes, by name.
        store: where they are kept.
        batch_size: windows per batch and process.
        seed: seed of the training windows and of their order.
        augmentations: of the training windows, by name of the feature.

    Attributes:
        manifest: the data set, without skipped clips; known after `prepare_data`, like the next two.
        folds: its division.
        skipped: clips that could not be read.
        encoder: set before the data are used, batches hold what it makes of the clips in place of the features.

    Raises:
        ConfigError: an augmentation that does not fit the spectrograms, or unreadable clips to be skipped of features
            that are not stored.
    """

    manifest: Manifest
    folds: Folds
    skipped: tuple[Unreadable, ...]
    encoder: FrozenEncoder | None = None

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
        if data.unreadable == "skip" and (unstored := [name for name in features if not features[name].stored]):
            raise ConfigError(
                f"data.unreadable=skip with features.{unstored[0]}.storage=none",
                "Clips are left out before the folds are made, and what is not stored is read only after that",
                f"Set data.unreadable=stop, or features.{unstored[0]}.storage=jpeg",
            )
        self.data, self.features, self.store = data, features, store
        self.batch_size, self.seed = batch_size, seed
        self._datasets: dict[str, ClipWindows] = {}
        self._ready = False

    def prepare_data(self) -> None:
        """Make what is missing: the data set itself where it is generated, and the features of all clips."""
        if self._ready:
            return
        source = build(self.data.source, "data_source")
        source.prepare()
        manifest: Manifest = source.manifest()
        if self.data.leave_out_city is not None:
            manifest = leave_city_out(manifest, self.data.leave_out_city)
        stored = [feature for feature in self.features.values() if feature.stored]
        self.skipped = extract_all(
            manifest.clips, stored, self.store, self.data.extraction_workers, self.data.unreadable
        )
        left_out = {unreadable.clip for unreadable in self.skipped}
        readable = tuple(clip for clip in manifest.clips if clip.id not in left_out)
        self.manifest = Manifest(manifest.name, manifest.scenes, readable)
        self.folds = make_folds(
            self.manifest, self.data.selection, self.data.validation_fraction, self.data.validation_seed
        )
        if self.data.shuffle_labels:
            self.folds = shuffle_labels(self.folds, self.data.validation_seed)
        self._ready = True

    def setup(self, stage: str | None = None) -> None:
        """`prepare_data` for every process, which finds what the first has made; then, together, `encoder`'s work."""
        self.prepare_data()
        if self.encoder is not None:
            for fold in ("train", "validation"):
                self.dataset(fold)

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
        """What the data decide of a network's shape: `scenes`, the `channels` of the spectrogram, and the `height` and
        `width` of the frames."""
        sound, picture = self.features.get("spectrogram"), self.features.get("frames")
        channels = {"channels": len(sound.layout.names)} if isinstance(sound, Spectrogram) else {}
        size = {"height": picture.height, "width": picture.width} if isinstance(picture, Frames) else {}
        return {"scenes": len(self.manifest.scenes), **channels, **size}

    def train_dataloader(self) -> DataLoader[Batch]:
        """One random window of every training clip per epoch."""
        dataset = self.dataset("train")
        ids = [clip.id for clip in dataset.clips]
        windows = RandomWindows(ids, dataset.steps, self.batch_size, self.seed, *self._place())
        return window_loader(dataset, windows, 0 if self.data.num_workers == "auto" else self.data.num_workers)

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
        return window_loader(dataset, windows, 0 if self.data.num_workers == "auto" else self.data.num_workers)

    def dataset(self, fold: str) -> ClipWindows:
        """The clips of a fold with their features, or with what the encoder makes of them.

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
            self._datasets[fold] = self._dataset_of(clips)
        return self._datasets[fold]

    def example(self, fold: str) -> Batch:
        """The first window of a fold, as the whole network takes it."""
        clips = self.dataset(fold).clips[:1]
        stored = {name: feature for name, feature in self.features.items() if feature.stored}
        batch = (
            WindowDataset(clips, self.manifest.scenes, stored, self.store)[[Window(clip=0, step=0)]] if stored else {}
        )
        for name in self.features.keys() - stored.keys():
            frames = read_frames(self.features[name], clips[0], self.store)[:STEPS_PER_WINDOW]
            batch[name] = frames[None]
        return batch

    def _dataset_of(self, clips: Sequence[Clip]) -> ClipWindows:
        scenes = self.manifest.scenes
        if self.encoder is None:
            return WindowDataset(clips, scenes, self.features, self.store, self.augmentations)
        self.encoder.encode_all(clips, self.store, self.data.extraction_workers)
        return EncodedDataset(clips, scenes, self.encoder.read(clips, self.store))

    def _place(self) -> tuple[int, int]:
        """This process's rank and the number of processes."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
