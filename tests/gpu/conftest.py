"""Tests of what may differ on a GPU. Where there is none they run on the CPU, so that they stay in order."""

import csv
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.training.stage import train

Stage = Callable[..., TrainConfig]

# As Lightning does for deterministic trainers; CUDA reads it once.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Float32 is float32, not TF32; and what a deterministic trainer sets ends with its test."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    torch.use_deterministic_algorithms(False)


# What each stage starts from. Without dropout and mixup, whose random numbers differ between devices.
STARTS = {
    "audio": (),
    "visual": (),
    "fusion": ("audio", "visual"),
    "visual_finetune": ("visual",),
    "fusion_finetune": ("fusion",),
}
PLAIN = {"audio": ["recipe.mixup_alpha=0"], "visual": ["model.network.dropout=0"]}


@pytest.fixture
def backbone() -> tuple[str, ...]:
    """Overrides of visual stages; a file of tests may have its own."""
    return ()


@pytest.fixture
def on_cpu(
    stage: Stage,
    started: dict[tuple[str, ...], Path],
    backbone: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Stage:
    """Experiment and overrides -> the config of a small stage, its starts trained, for the CPU in float32."""

    def start(kind: str) -> Path:
        if (kind, *backbone) not in started:
            run = train(make(kind, f"runs={tmp_path_factory.mktemp('starts')}", "trainer.max_epochs=1"))
            assert run is not None
            started[kind, *backbone] = run
        return started[kind, *backbone]

    def make(experiment: str, *overrides: str) -> TrainConfig:
        given = [f"init_from.{kind}={start(kind)}" for kind in STARTS[experiment]]
        own = backbone if experiment.startswith("visual") else ()
        return stage(experiment, *PLAIN.get(experiment.split("_")[0], []), *own, *given, *overrides)

    return make


@pytest.fixture(scope="session")
def started() -> dict[tuple[str, ...], Path]:
    """Runs to start from, filled as they are needed. Read only."""
    return {}


@pytest.fixture
def on_device(on_cpu: Stage, device: torch.device) -> Stage:
    """The same for the GPU; where there is none, for whatever trainer=auto finds."""
    trainer = "gpu" if device.type == "cuda" else "auto"

    def make(experiment: str, *overrides: str) -> TrainConfig:
        config = on_cpu(experiment, f"trainer={trainer}", *overrides)
        assert config.trainer["accelerator"] == trainer
        return config

    return make


def training_losses(run: Path) -> list[float]:
    with (run / "metrics.csv").open() as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file)]


@pytest.fixture
def losses_of() -> Callable[[Path], list[float]]:
    """Run folder -> its training loss, epoch by epoch."""
    return training_losses
