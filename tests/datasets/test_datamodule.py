"""Batches of named tensors from real media."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.config.targets import build
from sedcrnn.datasets.datamodule import SceneDataModule
from sedcrnn.datasets.scene_data import choose_num_workers
from sedcrnn.datasets.window_dataset import Batch
from sedcrnn.errors import ClipError, ConfigError, DataError
from sedcrnn.features.spectrogram import scale_windows
from sedcrnn.training.init_from import complete_network
from sedcrnn.training.stage import make_datamodule


def first_inputs(datamodule: SceneDataModule, fold: str = "train") -> Batch:
    """The first batch of a fold as the network takes it."""
    loader = datamodule.train_dataloader() if fold == "train" else datamodule.evaluation_loader(fold)
    return datamodule.on_after_batch_transfer(next(iter(loader)), 0)


@pytest.fixture
def data(stage: Callable[..., TrainConfig]) -> SceneDataModule:
    datamodule = make_datamodule(stage("fusion"))
    datamodule.prepare_data()
    datamodule.setup()
    return datamodule


def test_a_training_batch_has_aligned_windows_of_both(data: SceneDataModule) -> None:
    loader = data.train_dataloader()
    dataset = data.dataset("train")
    windows = next(iter(loader.batch_sampler))
    loaded = next(iter(loader))
    assert (tuple(loaded["spectrogram"].shape), loaded["spectrogram"].dtype) == ((4, 50, 3, 64), torch.int16)
    batch = first_inputs(data)
    assert {name: (tuple(value.shape), value.dtype) for name, value in batch.items()} == {
        "spectrogram": ((4, 3, 64, 50), torch.float32),
        "frames": ((4, 5, 3, 32, 32), torch.uint8),
        "scene": ((4,), torch.int64),
        "clip": ((4,), torch.int64),
        "window": ((4,), torch.int64),
    }
    for index, window in enumerate(windows):
        clip = dataset.clips[window.clip]
        frames, spectrogram = data.features["frames"], data.features["spectrogram"]
        stored = np.asarray(data.store.read(clip.video, frames))[window.step : window.step + 5]
        assert np.array_equal(batch["frames"][index].permute(0, 2, 3, 1).numpy(), stored)
        columns = np.asarray(data.store.read(clip.audio, spectrogram))[10 * window.step : 10 * window.step + 50]
        expected = scale_windows(torch.from_numpy(spectrogram.decoded(columns.transpose(1, 2, 0)))[None])[0]
        assert torch.equal(batch["spectrogram"][index], expected)
        assert batch["spectrogram"][index].min() == -1
        assert batch["spectrogram"][index].max() == 1
        assert data.manifest.scenes[batch["scene"][index]] == clip.scene


def test_jpeg_frames_are_cut_first_and_then_decoded(stage: Callable[..., TrainConfig], data: SceneDataModule) -> None:
    coded = make_datamodule(stage("fusion", "features.frames.storage=jpeg"))
    coded.prepare_data()
    coded.setup()
    frames = coded.features["frames"]
    windows = next(iter(coded.train_dataloader().batch_sampler))
    raw, batch = first_inputs(data), first_inputs(coded)
    assert batch["frames"].shape == (4, 5, 3, 32, 32)
    for index, window in enumerate(windows):
        clip = coded.dataset("train").clips[window.clip]
        expected = frames.decoded(frames.extract(clip.video))[window.step : window.step + 5]
        assert np.array_equal(batch["frames"][index].permute(0, 2, 3, 1).numpy(), expected)
    assert torch.equal(batch["spectrogram"], raw["spectrogram"])
    assert not torch.equal(batch["frames"], raw["frames"])
    assert (batch["frames"].float() - raw["frames"].float()).abs().mean() < 3


def test_frames_that_are_not_stored_are_not_made_and_cannot_be_read(
    stage: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    datamodule = make_datamodule(stage("fusion", "features.frames.storage=none", f"store={tmp_path}"))
    datamodule.prepare_data()
    datamodule.setup()
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir() if path.is_dir() and path.name != "runs"} == {
        "spectrogram"
    }
    with pytest.raises(ConfigError, match=r"storage=none stores no frames.*frozen encoder.*storage=raw or jpeg"):
        datamodule.train_dataloader()


def test_unreadable_clips_are_not_skipped_of_frames_that_are_not_stored(stage: Callable[..., TrainConfig]) -> None:
    with pytest.raises(ConfigError, match=r"unreadable=skip with features\.frames\.storage=none.*unreadable=stop"):
        make_datamodule(stage("fusion", "features.frames.storage=none", "data.unreadable=skip"))


def test_an_epoch_has_every_training_clip_once_and_evaluation_every_second(data: SceneDataModule) -> None:
    train = torch.cat([batch["clip"] for batch in data.train_dataloader()])
    assert sorted(train.tolist()) == list(range(len(data.folds.train)))
    batches = list(data.test_dataloader())
    pairs = [pair for batch in batches for pair in zip(batch["clip"].tolist(), batch["window"].tolist(), strict=True)]
    assert pairs == [(clip, window) for clip in range(4) for window in range(2)]
    assert all(len(clip.id) > 0 for clip in data.folds.test)


def test_only_what_the_network_takes_is_read(stage: Callable[..., TrainConfig]) -> None:
    config = stage("audio")
    datamodule = make_datamodule(replace(config, features=replace(config.features, frames=None)))
    datamodule.prepare_data()
    datamodule.setup()
    assert "frames" not in next(iter(datamodule.val_dataloader()))


def test_identity_follows_content_and_labels_not_path(
    stage: Callable[..., TrainConfig], make_tau_root: Callable[[Path], Path], tmp_path: Path
) -> None:
    def identity(root: Path) -> object:
        datamodule = make_datamodule(stage("audio", f"data.root={root}"))
        datamodule.prepare_data()
        datamodule.setup()
        return datamodule.identity

    root = make_tau_root(tmp_path / "copy")
    first = identity(root)
    moved = root.rename(tmp_path / "moved")
    assert identity(moved) == first
    train = moved / "evaluation_setup" / "fold1_train.csv"
    train.write_text(train.read_text().replace("\tpark", "\tbus", 1))
    assert identity(moved) != first


def test_an_unreadable_clip_stops_the_run_or_is_skipped_and_listed(
    stage: Callable[..., TrainConfig], make_tau_root: Callable[[Path], Path], tmp_path: Path
) -> None:
    root = make_tau_root(tmp_path / "tau")
    broken = root / "audio" / "bus-lisbon-0-1000.wav"
    broken.write_bytes(broken.read_bytes()[:30])
    (root / "video" / "park-lisbon-1-1001.mp4").unlink()
    overrides = [f"data.root={root}"]
    with pytest.raises(ClipError, match="bus-lisbon-0-1000"):
        make_datamodule(stage("fusion", *overrides)).prepare_data()
    datamodule = make_datamodule(stage("fusion", *overrides, "data.unreadable=skip"))
    datamodule.prepare_data()
    datamodule.setup()
    assert [skipped.clip for skipped in datamodule.skipped] == ["bus-lisbon-0-1000", "park-lisbon-1-1001"]
    assert "absent" in datamodule.skipped[1].message
    left = {clip.id for clip in datamodule.manifest.clips}
    assert len(left) == 14
    assert "bus-lisbon-0-1000" not in left
    for path in (root / "audio").iterdir():
        if int(path.stem.split("-")[2]) >= 12:
            path.unlink()
    emptied = make_datamodule(stage("fusion", *overrides, "data.unreadable=skip"))
    emptied.prepare_data()
    emptied.setup()
    with pytest.raises(DataError, match=r"test fold .* has no clips \(6 clips were skipped"):
        emptied.test_dataloader()


@pytest.mark.parametrize(
    ("override", "shape"),
    [
        ("features/spectrogram=mel", (3, 64, 50)),
        ("features/spectrogram=cqt", (3, 64, 50)),
        ("features/spectrogram=gammatone_stft", (3, 64, 50)),
        ("features/spectrogram=gammatone_fourier", (3, 64, 50)),
        ("features.spectrogram.channels=mid_side", (2, 64, 50)),
        ("features.spectrogram.hop=0.01", (3, 64, 100)),
        ("features.spectrogram.bank.bands=40", (3, 40, 50)),
    ],
)
def test_every_spectrogram_is_one_override_away_and_fits_the_network(
    stage: Callable[..., TrainConfig], override: str, shape: tuple[int, ...]
) -> None:
    config = stage("audio", override)
    datamodule = make_datamodule(replace(config, features=replace(config.features, frames=None)))
    datamodule.prepare_data()
    datamodule.setup()
    batch = first_inputs(datamodule)
    assert batch["spectrogram"].shape[1:] == shape
    assert (batch["spectrogram"].amin((1, 2, 3)) == -1).all()
    assert (batch["spectrogram"].amax((1, 2, 3)) == 1).all()
    network = build(complete_network(config.model["network"], {}, datamodule.dimensions), "network")
    assert network(batch["spectrogram"]).shape == (4, 10)


def test_only_training_windows_are_augmented_alike_in_every_process_and_order(
    stage: Callable[..., TrainConfig],
) -> None:
    loud = ["recipe.augmentation.spectrogram.gain=12", "recipe.augmentation.spectrogram.band_masks=2"]
    plain, augmented = (
        make_datamodule(replace(config, features=replace(config.features, frames=None)))
        for config in (stage("audio"), stage("audio", *loud))
    )
    for datamodule in (plain, augmented):
        datamodule.prepare_data()
        datamodule.setup()
    for fold in ("validation", "test"):
        one, two = first_inputs(plain, fold), first_inputs(augmented, fold)
        assert torch.equal(one["spectrogram"], two["spectrogram"])
    batch, other = first_inputs(plain), first_inputs(augmented)
    assert torch.equal(batch["clip"], other["clip"])
    assert not torch.equal(batch["spectrogram"], other["spectrogram"])
    assert (other["spectrogram"].amax((1, 2, 3)) == 1).all()
    torch.manual_seed(99)
    windows = next(iter(augmented.train_dataloader().batch_sampler))
    dataset = augmented.dataset("train")
    again = dataset.network_inputs(dataset.batch(windows[::-1]))
    assert torch.equal(again["spectrogram"].flip(0), other["spectrogram"])
    next_epoch = augmented.train_dataloader()
    next_epoch.batch_sampler.set_epoch(1)
    assert {window.draw for window in windows}.isdisjoint(
        window.draw for window in next(iter(next_epoch.batch_sampler))
    )


def test_frames_of_training_windows_alone_are_augmented_by_their_draws(stage: Callable[..., TrainConfig]) -> None:
    mirrored = ["recipe.augmentation.frames.flip=1"]
    plain, augmented = (
        make_datamodule(replace(config, features=replace(config.features, spectrogram=None)))
        for config in (stage("visual"), stage("visual", *mirrored))
    )
    for datamodule in (plain, augmented):
        datamodule.prepare_data()
        datamodule.setup()
    batch, other = (next(iter(datamodule.train_dataloader())) for datamodule in (plain, augmented))
    assert torch.equal(batch["frames"].flip(-1), other["frames"])
    assert not torch.equal(batch["frames"], other["frames"])
    one, two = (next(iter(datamodule.val_dataloader())) for datamodule in (plain, augmented))
    assert torch.equal(one["frames"], two["frames"])


def test_an_augmentation_that_does_not_fit_is_refused_before_anything_is_made(
    stage: Callable[..., TrainConfig],
) -> None:
    swap = "recipe.augmentation.spectrogram.swap=0.5"
    with pytest.raises(ConfigError, match="mid and side, which do not change"):
        make_datamodule(stage("audio", swap, "features.spectrogram.channels=mid_side"))


def test_prepare_data_writes_and_setup_sets_and_both_may_be_called_again(
    stage: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    datamodule = make_datamodule(stage("audio", f"store={tmp_path / 'store'}"))
    for _ in range(2):
        datamodule.prepare_data()
        assert not {"manifest", "folds", "skipped"} & vars(datamodule).keys()
    entries = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").glob("*/*.npy")}
    datamodule.setup("fit")
    folds, dataset = datamodule.folds, datamodule.dataset("train")
    datamodule.prepare_data()
    datamodule.setup("test")
    assert datamodule.folds is folds
    assert datamodule.dataset("train") is dataset
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").glob("*/*.npy")} == entries
    assert len(entries) == 2 * 16  # features and clips


def test_processes_that_load_are_chosen_by_cores_and_by_what_is_read() -> None:
    assert choose_num_workers(3, slow=False, cores=2) == 3
    for cores in (1, 2, 16):
        assert choose_num_workers("auto", slow=False, cores=cores) == 0
    chosen = {cores: choose_num_workers("auto", slow=True, cores=cores) for cores in (1, 2, 4, 8, 64)}
    assert chosen == {1: 0, 2: 0, 4: 2, 8: 4, 64: 8}
    assert choose_num_workers("auto", slow=True, processes=4, cores=16) == 2
