"""Windows under worse conditions, with values by hand and on real media."""

from pathlib import Path

import pytest
import torch

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.datasets.datamodule import SceneDataModule
from sedcrnn.datasets.window_dataset import WindowDataset
from sedcrnn.datasets.windows import Window
from sedcrnn.evaluation.conditions import AUDIO_KINDS, CONDITIONS, REMOVED, VIDEO_KINDS, AddedNoise, ChangedWindows
from sedcrnn.training.stage import make_datamodule


@pytest.fixture(scope="module")
def data(own_root: Path, tmp_path_factory: pytest.TempPathFactory) -> SceneDataModule:
    """Fifteen clips of one to seven seconds."""
    from tests.conftest import compose_stage

    store = tmp_path_factory.mktemp("conditions")
    sizes = ["features.frames.height=32", "features.frames.width=32", f"store={store}", "data.extraction_workers=0"]
    config: TrainConfig = compose_stage([], "fusion", "data=folder", f"data.root={own_root}", *sizes)
    made = make_datamodule(config)
    made.prepare_data()
    made.setup()
    return made


def windows_of(data: SceneDataModule, name: str, kind: str) -> ChangedWindows:
    return ChangedWindows(data.manifest.clips, data.manifest.scenes, name, data.features[name], data.store, kind)


def plain(data: SceneDataModule, name: str, windows: list[Window]) -> torch.Tensor:
    clips, scenes = data.manifest.clips, data.manifest.scenes
    dataset = WindowDataset(clips, scenes, {name: data.features[name]}, data.store)
    inputs: torch.Tensor = dataset.network_inputs(dataset.batch(windows))[name]
    return inputs


LONG = 2  # a clip of seven seconds, 35 steps
RUMBLE = 7  # another, in a bus, which sounds least like white noise


def test_every_condition_is_a_kind_of_audio_and_a_kind_of_video() -> None:
    assert {audio for audio, _ in CONDITIONS.values()} == {*AUDIO_KINDS, "absent"}
    assert {video for _, video in CONDITIONS.values()} == {*VIDEO_KINDS, "absent"}
    assert set(REMOVED) < set(CONDITIONS)


def test_windows_as_they_are_silent_and_black(data: SceneDataModule) -> None:
    windows = [Window(LONG, 5), Window(0, 0)]
    for name, gone, value in (("spectrogram", "silent", -1), ("frames", "black", 0)):
        assert torch.equal(windows_of(data, name, "as it is").batch(windows)[name], plain(data, name, windows))
        assert (windows_of(data, name, gone).batch(windows)[name] == value).all()
        assert windows_of(data, name, gone).batch(windows)["clip"].tolist() == [LONG, 0]


@pytest.mark.parametrize(("kind", "steps"), [("0.4 s late", 2), ("1 s late", 5)])
def test_late_audio_is_that_of_before_and_at_the_beginning_that_of_the_end(
    data: SceneDataModule, kind: str, steps: int
) -> None:
    late = windows_of(data, "spectrogram", kind).batch([Window(LONG, 10), Window(LONG, 0)])
    expected = plain(data, "spectrogram", [Window(LONG, 10 - steps), Window(LONG, 31 - steps)])
    assert torch.equal(late["spectrogram"], expected)
    assert late["window"].tolist() == [2, 0]


def test_audio_of_another_clip_is_of_another_scene_under_the_videos_label(data: SceneDataModule) -> None:
    dataset = windows_of(data, "spectrogram", "of another clip")
    for clip in range(len(dataset.clips)):
        moved = dataset._moved(Window(clip, 0))
        assert dataset.clips[moved.clip].scene != dataset.clips[clip].scene
        assert 0 <= dataset._moved(Window(clip, 30)).step <= dataset.steps[moved.clip] - 5
    batch = dataset.batch([Window(LONG, 5)])
    assert batch["scene"].item() == dataset.scene[LONG]
    assert torch.equal(batch["spectrogram"], plain(data, "spectrogram", [dataset._moved(Window(LONG, 5))]))


def test_powers_of_audio_and_noise_add_at_the_given_ratio() -> None:
    signal = torch.tensor([[[-20.0, -20.0], [-80.0, -80.0]]])  # mean power (0.01 + 1e-8) / 2
    noise = torch.full((1, 2, 2), -50.0)
    level = 10 * torch.log10(torch.tensor((0.01 + 1e-8) / 2)) - 10  # of the noise, in every place
    added = AddedNoise(noise, 10.0)(signal, 3)
    expected = 10 * torch.log10(10 ** (signal / 10) + 10 ** (level / 10))
    torch.testing.assert_close(added, expected, atol=1e-4, rtol=0)
    assert added[0, 1, 0].item() == pytest.approx(level.item(), abs=0.01)  # quiet places fill up
    assert added[0, 0, 0].item() == pytest.approx(-20 + 0.2, abs=0.03)  # loud ones hardly change


def test_noise_hides_more_at_0_db_than_at_10_and_differs_between_windows(data: SceneDataModule) -> None:
    windows = [Window(RUMBLE, 0), Window(RUMBLE, 5)]
    clean = plain(data, "spectrogram", windows)
    quiet, loud = (windows_of(data, "spectrogram", f"noise at {db} dB").batch(windows)["spectrogram"] for db in (10, 0))

    def likeness(changed: torch.Tensor) -> float:
        return float(torch.corrcoef(torch.stack([changed.flatten(), clean.flatten()]))[0, 1])

    assert likeness(loud) < likeness(quiet) < 0.99
    again = windows_of(data, "spectrogram", "noise at 0 dB").batch(windows[1:])["spectrogram"]
    assert torch.equal(again[0], loud[1])  # whatever the batch


def test_dark_and_noisy_videos(data: SceneDataModule) -> None:
    windows = [Window(LONG, 0), Window(0, 0)]
    clean = plain(data, "frames", windows).float()
    dark = windows_of(data, "frames", "dark").batch(windows)["frames"]
    assert torch.equal(dark, (clean / 4).round().to(torch.uint8))
    noisy = windows_of(data, "frames", "noisy").batch(windows)["frames"]
    assert noisy.dtype == torch.uint8
    inside = (clean > 80) & (clean < 175)  # away from the ends of the scale
    assert inside.sum() > 1000
    assert (noisy.float() - clean)[inside].std().item() == pytest.approx(25, abs=1.5)
    assert torch.equal(windows_of(data, "frames", "noisy").batch(windows[1:])["frames"][0], noisy[1])
