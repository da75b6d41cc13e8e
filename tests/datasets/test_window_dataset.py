"""The data set is an ordinary torch one, whose batches are made at once; own features need no special case."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Subset

from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.window_dataset import (
    Batch,
    ClipWindows,
    EncodedDataset,
    WindowDataset,
    read_values,
    window_loader,
)
from sedcrnn.datasets.windows import ConsecutiveWindows, RandomWindows, Window
from sedcrnn.features.feature import Feature
from sedcrnn.features.frames import Frames
from sedcrnn.features.pack import Rows
from sedcrnn.features.store import FeatureStore

STEPS = (12, 5, 23)  # two, one and four whole seconds
SCENES = ("bus", "park")


@dataclass(frozen=True)
class Loudness(Feature):
    """As a user may write one: a row of two values per step, which are stored as they are."""

    name = "loudness"
    track = "audio"

    def parameters(self) -> dict[str, object]:
        return {"version": 1}

    @property
    def per_step(self) -> int:
        return 1

    def extract(self, path: Path) -> NDArray[np.float32]:
        steps = int(path.read_text())
        return np.arange(2 * steps, dtype=np.float32).reshape(steps, 2)


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    made = []
    for number, steps in enumerate(STEPS):
        path = tmp_path / f"{number}.wav"
        path.write_text(str(steps))
        made.append(Clip(f"clip{number}", path, path, SCENES[number % 2], "", str(number), "train"))
    return made


@pytest.fixture
def stored(clips: list[Clip], tmp_path: Path) -> WindowDataset:
    store, features = FeatureStore(tmp_path / "store"), {"loudness": Loudness(), "frames": Frames(height=4, width=6)}
    rng = np.random.default_rng(0)
    for clip, steps in zip(clips, STEPS, strict=True):
        store.write(clip.audio, features["loudness"], features["loudness"].extract(clip.audio))
        store.write(clip.video, features["frames"], rng.integers(0, 255, (steps + 1, 4, 6, 3), dtype=np.uint8))
    return WindowDataset(clips, SCENES, features, store)


def _rows(values: NDArray[np.float32], counts: Sequence[int]) -> Rows:
    return Rows(values, np.cumsum(counts) - counts, np.array(counts))


@pytest.fixture
def encoded(clips: list[Clip]) -> EncodedDataset:
    rng = np.random.default_rng(0)
    values = {
        "visual_steps": _rows(rng.standard_normal((sum(STEPS), 3), dtype=np.float32), STEPS),
        "audio": _rows(rng.standard_normal((sum(STEPS) - 4 * len(STEPS), 2), dtype=np.float32), [n - 4 for n in STEPS]),
    }
    return EncodedDataset(clips, SCENES, values)


@pytest.fixture(params=["stored", "encoded"])
def dataset(request: pytest.FixtureRequest) -> ClipWindows:
    made: ClipWindows = request.getfixturevalue(request.param)
    return made


def equal(one: Batch, two: Batch) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_an_index_is_the_number_of_a_whole_second_or_a_window(dataset: ClipWindows) -> None:
    assert len(dataset) == 7
    items = [dataset[index] for index in range(7)]
    found = [(int(item["clip"]), int(item["window"]), int(item["scene"])) for item in items]
    assert found == [(0, 0, 0), (0, 1, 0), (1, 0, 1), (2, 0, 0), (2, 1, 0), (2, 2, 0), (2, 3, 0)]
    assert all(
        values.ndim == whole.ndim - 1
        for values, whole in zip(items[0].values(), dataset.batch([Window(0, 0)]).values(), strict=True)
    )
    assert equal(dataset[-1], items[6])
    assert equal(dataset[Window(2, 15)], items[6])
    assert equal(dataset[Window(0, 3)], {name: values[0] for name, values in dataset.batch([Window(0, 3)]).items()})
    assert not equal(dataset[Window(0, 3)], items[0])
    assert len(list(dataset)) == 7  # type: ignore[call-overload]  # an index behind the end is an IndexError
    with pytest.raises(IndexError):
        dataset[7]


def test_several_windows_are_a_sequence_of_windows_and_a_batch_at_once(dataset: ClipWindows) -> None:
    samples = dataset.__getitems__([6, Window(0, 2), 0])
    assert len(samples) == 3
    assert [equal(one, two) for one, two in zip(samples, (dataset[6], dataset[Window(0, 2)], dataset[0]), strict=True)]
    assert equal(samples.batch, dataset.batch([Window(2, 15), Window(0, 2), Window(0, 0)]))


def test_torchs_own_loaders_subsets_and_concatenations_work(dataset: ClipWindows) -> None:
    whole = dataset.batch(ConsecutiveWindows(STEPS, 1).windows)
    # With torch's own function that collates, too.
    for loader in (DataLoader(dataset, batch_size=7), window_loader(dataset, ConsecutiveWindows(STEPS, 7), 0)):
        (batch,) = loader
        assert equal(batch, whole)
    (chosen,) = DataLoader(Subset(dataset, [6, 2]), batch_size=2)
    assert equal(chosen, {name: values[[6, 2]] for name, values in whole.items()})
    (both,) = DataLoader(ConcatDataset([dataset, dataset]), batch_size=14)
    assert equal(both, {name: torch.cat([values, values]) for name, values in whole.items()})
    assert sorted(torch.cat([batch["clip"] for batch in DataLoader(dataset, batch_size=3, shuffle=True)]).tolist()) == [
        0, 0, 1, 2, 2, 2, 2,
    ]  # fmt: skip


def test_processes_load_the_same_batches(dataset: ClipWindows) -> None:
    windows = RandomWindows(["a", "b", "c"], STEPS, batch_size=2, seed=3)
    for one, two in zip(window_loader(dataset, windows, 0), window_loader(dataset, windows, 2), strict=True):
        assert equal(one, two)


def test_a_feature_of_ones_own_is_cut_and_given_to_the_network_as_it_is(stored: WindowDataset) -> None:
    window = stored[Window(2, 7)]
    assert window["loudness"].tolist() == [[14, 15], [16, 17], [18, 19], [20, 21], [22, 23]]
    assert window["frames"].shape == (5, 3, 4, 6)
    (whole,) = Loudness().stream(stored.clips[1].audio)
    assert whole.shape == (5, 2)


def test_windows_that_differ_in_shape_are_no_batch_and_are_not_filled_up(clips: list[Clip], tmp_path: Path) -> None:
    store, loudness = FeatureStore(tmp_path / "store"), Loudness()
    for clip, width in zip(clips[:2], (2, 3), strict=True):
        store.write(clip.audio, loudness, np.ones((10, width), np.float32))
    dataset = WindowDataset(clips[:2], SCENES, {"loudness": loudness}, store)
    with pytest.raises(ValueError, match="same shape"):
        dataset.batch([Window(0, 0), Window(1, 0)])


def test_values_are_read_from_the_store_or_from_the_file(
    stored: WindowDataset, clips: list[Clip], tmp_path: Path
) -> None:
    class Unstored(Loudness):
        stored = False  # type: ignore[assignment]

    store = FeatureStore(tmp_path / "store")
    for feature in (Loudness(), Unstored()):
        assert read_values(feature, clips[0], store).shape == (12, 2)
        assert read_values(feature, clips[0], store, start=3, steps=2).tolist() == [[6, 7], [8, 9]]


def test_lightning_draws_other_windows_in_every_epoch(encoded: EncodedDataset) -> None:
    class Recorder(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.drawn: list[list[Tensor]] = []

        def on_train_epoch_start(self) -> None:
            self.drawn.append([])

        def training_step(self, batch: Batch, _: int) -> Tensor:
            self.drawn[-1].append(batch["visual_steps"])
            return self.weight * batch["audio"].sum()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0)

    windows = RandomWindows(["a", "b", "c"], STEPS, batch_size=2, seed=3)
    module = Recorder()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = Trainer(max_epochs=3, accelerator="cpu", use_distributed_sampler=False, **quiet)
    trainer.fit(module, window_loader(encoded, windows, 0))
    for epoch, batches in enumerate(module.drawn):
        windows.set_epoch(epoch)
        for batch, expected in zip(batches, windows, strict=True):
            assert torch.equal(batch, encoded.batch(expected)["visual_steps"])
    assert len({tuple(torch.cat(batches).flatten().tolist()) for batches in module.drawn}) == 3


def jpeg_windows(clips: list[Clip], store: FeatureStore, decoder: str) -> WindowDataset:
    frames = Frames(height=16, width=24, storage="jpeg", jpeg_decoder=decoder)
    rng = np.random.default_rng(0)
    for clip, steps in zip(clips, STEPS, strict=True):
        pixels = rng.integers(0, 255, (steps, 16, 24, 3), dtype=np.uint8)
        pixels[:, :, : 2 * steps % 24] = 0  # files of other lengths in every clip
        store.write(clip.video, frames, frames._encode(pixels))
    return WindowDataset(clips, SCENES, {"frames": frames}, store)


def test_jpeg_frames_are_decoded_where_they_are_loaded_or_where_the_network_is(
    clips: list[Clip], tmp_path: Path
) -> None:
    store, windows = FeatureStore(tmp_path / "store"), [Window(2, 7), Window(0, 1), Window(1, 0)]
    loaded, decoded = (jpeg_windows(clips, store, decoder) for decoder in ("cpu", "gpu"))
    batch = loaded.batch(windows)
    assert (batch["frames"].shape, batch["frames"].dtype) == ((3, 5, 3, 16, 24), torch.uint8)
    assert loaded.network_inputs(batch)["frames"] is batch["frames"]
    coded = decoded.batch(windows)["frames"]
    assert isinstance(coded, np.ndarray)  # files, which nothing moves to a GPU
    assert bytes(coded[0, 0, :3]) == b"\xff\xd8\xff"
    # Without a GPU, as in evaluation on a CPU, the same decoder does it later.
    assert equal(decoded.network_inputs(decoded.batch(windows)), batch)
    stored = store.read(clips[2].video, loaded.features["frames"])
    expected = loaded.features["frames"].decoded(np.asarray(stored))[7:12]
    assert np.array_equal(batch["frames"][0].permute(0, 2, 3, 1).numpy(), expected)
