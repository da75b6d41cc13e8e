"""A data set in TAU layout with real media, small enough to train on in a test: buses are red and rumble, parks are
green and hiss. And the config of a stage on it, with networks to match."""

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from scipy.signal import lfilter

from sedcrnn.cli import EXPECTED_WARNINGS
from sedcrnn.config.checking import checked
from sedcrnn.config.composition import compose
from sedcrnn.config.stage_config import TrainConfig

SECONDS, RATE, FPS = 2, 48000, 10

# What a shell runs in the background ignores Ctrl-C, and under nohup the terminal's end, too; the commands that tests
# start and interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_configure(config: pytest.Config) -> None:
    for message in EXPECTED_WARNINGS:
        config.addinivalue_line("filterwarnings", f"ignore:{message}")


def write_sound(path: Path, rumbles: bool, seed: int, seconds: float = SECONDS) -> None:
    noise = np.random.default_rng(seed).standard_normal((round(seconds * RATE) + seed % 3 - 1, 2))
    coloured = lfilter([0.05], [1, -0.95], noise, axis=0) if rumbles else lfilter([0.5, -0.5], [1], noise, axis=0)
    soundfile.write(path, 0.1 * coloured, RATE, subtype="PCM_24")


def write_video(path: Path, colour: tuple[int, int, int], seed: int, seconds: float = SECONDS) -> None:
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(round(seconds * FPS)):
            picture = np.clip(np.array(colour) + rng.normal(0, 20, (48, 64, 3)), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def write_tau_set(root: Path, clips: int = 16) -> Path:
    """Buses and parks in turn, each of a location of its own; the last four are to test."""
    for folder in ("audio", "video", "evaluation_setup"):
        (root / folder).mkdir(parents=True)
    rows: dict[str, list[str]] = {"fold1_train.csv": [], "fold1_evaluate.csv": []}
    for number in range(clips):
        scene, colour = [("bus", (180, 40, 40)), ("park", (40, 160, 40))][number % 2]
        name = f"{scene}-lisbon-{number}-{1000 + number}"
        write_sound(root / "audio" / f"{name}.wav", scene == "bus", number)
        write_video(root / "video" / f"{name}.mp4", colour, number)
        fold = "fold1_evaluate.csv" if number >= clips - 4 else "fold1_train.csv"
        rows[fold].append(f"audio/{name}.wav\tvideo/{name}.mp4\t{scene}")
    for file, lines in rows.items():
        text = "\n".join(["filename_audio\tfilename_video\tscene_label", *lines])
        (root / "evaluation_setup" / file).write_text(text)
    return root


@pytest.fixture(scope="session")
def make_tau_root() -> Callable[[Path], Path]:
    return write_tau_set


@pytest.fixture(scope="session")
def tau_root(make_tau_root: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by all tests: read only."""
    return make_tau_root(tmp_path_factory.mktemp("tau"))


# Sound and picture of the own recordings' clips, in seconds: sixteen whole windows a scene, were it not for the last
# clip's picture, which ends early.
OWN_LENGTHS = ((1.0, 1.0), (2.3, 2.3), (7.0, 7.0), (2.3, 2.3), (4.0, 2.0))


@pytest.fixture(scope="session")
def own_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of three scenes, sound and video side by side, of differing lengths. Read only."""
    root = tmp_path_factory.mktemp("own") / "recordings"
    for place, (scene, colour) in enumerate(
        (("beach", (40, 40, 180)), ("bus", (180, 40, 40)), ("park", (40, 160, 40)))
    ):
        (root / scene).mkdir(parents=True)
        for number, (sound, picture) in enumerate(OWN_LENGTHS):
            seed = 10 * place + number
            write_sound(root / scene / f"{number}.wav", scene == "bus", seed, sound)
            write_video(root / scene / f"{number}.mp4", colour, seed, picture)
    return root


@pytest.fixture(scope="session")
def make_evaluation_set() -> Callable[[Path, int], Path]:
    """The challenge's evaluation set: numbered, of one second, without labels; buses and parks in turn."""

    def make(root: Path, files: int) -> Path:
        for folder in ("audio", "video"):
            (root / folder).mkdir(parents=True)
        for number in range(files):
            colour = [(180, 40, 40), (40, 160, 40)][number % 2]
            write_sound(root / "audio" / f"{number}.wav", number % 2 == 0, 100 + number, seconds=1)
            write_video(root / "video" / f"{number}.mp4", colour, 100 + number, seconds=1)
        return root

    return make


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def small(tau_root: Path, smaller: list[str]) -> list[str]:
    """Overrides that make any stage small, on the shared data set in TAU layout."""
    return ["data=tau2021", f"data.root={tau_root}", *smaller]


@pytest.fixture
def smaller(shared_store: Path, tmp_path: Path) -> list[str]:
    """Overrides that make any stage small, on any data; runs go to the test's own folder."""
    return small_overrides(shared_store, tmp_path / "runs")


@pytest.fixture(scope="session")
def fusion_parts(tau_root: Path, shared_store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A trained audio and a trained visual network, to start from. Read only."""
    from sedcrnn.training.stage import train

    small = ["data=tau2021", f"data.root={tau_root}"]
    small += small_overrides(shared_store, tmp_path_factory.mktemp("parts") / "runs")
    runs = {kind: train(compose_stage(small, kind, "trainer.max_epochs=1")) for kind in ("audio", "visual")}
    return {kind: run for kind, run in runs.items() if run is not None}


def small_overrides(store: Path, runs: Path) -> list[str]:
    return [
        "data.extraction_workers=0",
        "data.validation_fraction=0.3",
        f"store={store}",
        f"runs={runs}",
        "features.frames.storage=raw",
        "features.frames.height=32",
        "features.frames.width=32",
        "trainer=cpu",
        "trainer.precision=32-true",
        "trainer.max_epochs=3",
        "trainer.enable_progress_bar=false",
        "recipe.batch_size=4",
    ]


SMALL_NETWORKS = {
    "audio": ["model.network.filters=[4,4,8]"],
    "visual": ["model.network.backbone=test_resnet", "model.network.hidden=4"],
    "fusion": ["model.network.hidden=4"],
}


@pytest.fixture
def stage(small: list[str]) -> Callable[..., TrainConfig]:
    """Experiment name and more overrides -> the checked config of a small stage."""
    return partial(compose_stage, small)


@pytest.fixture
def own_stage(smaller: list[str]) -> Callable[..., TrainConfig]:
    """As `stage`, with the data set among the overrides."""
    return partial(compose_stage, smaller)


class KilledError(BaseException):
    """Stands for a signal: nothing in training may catch it."""


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Trains a stage until a batch of an epoch begins, both counted from 0, looks around, and is killed there."""
    from sedcrnn.training.modules import SceneModule
    from sedcrnn.training.stage import train

    begin_batch = SceneModule.on_train_batch_start

    def train_and_kill(config: TrainConfig, epoch: int, batch: int, look: Callable[[], object] = lambda: None) -> None:
        def or_kill(module: SceneModule, values: Any, batch_idx: int) -> None:
            if (module.current_epoch, batch_idx) == (epoch, batch):
                look()
                raise KilledError
            begin_batch(module, values, batch_idx)

        with monkeypatch.context() as patched:
            patched.setattr(SceneModule, "on_train_batch_start", or_kill)
            with pytest.raises(KilledError):
                train(config)

    return train_and_kill


def compose_stage(small: list[str], experiment: str, *overrides: str) -> TrainConfig:
    kind = experiment.removeprefix("authors_").split("_")[0]
    random = ["init_from.encoder=random"] if experiment == "visual" else []
    choices = [f"experiment={experiment}", *small, *SMALL_NETWORKS[kind], *random, *overrides]
    config: TrainConfig = checked(compose("train", choices))
    return config
