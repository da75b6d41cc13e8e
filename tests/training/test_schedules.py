"""Learning rates of every step or epoch, by hand."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.datasets.scene_data import SceneData
from sedcrnn.errors import ConfigError
from sedcrnn.training import stage as stages
from sedcrnn.training.schedules import build_schedule
from sedcrnn.training.stage import train

Stage = Callable[..., TrainConfig]

TORCHS = "torch.optim.lr_scheduler"


def rates(node: dict[str, Any], epochs: int, steps: int, lr: float = 0.4) -> list[float]:
    """The rates of as many steps, or epochs, as the schedule goes by."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    schedule, interval = build_schedule(node, optimizer, epochs, steps)
    found = []
    for _ in range(steps if interval == "step" else epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()  # type: ignore[call-arg]
    return found


@pytest.mark.parametrize("interval", ["step", "epoch"])
def test_a_cosine_is_as_long_as_the_training(interval: str) -> None:
    node = {"_target_": f"{TORCHS}.CosineAnnealingLR", "T_max": None, "interval": interval}
    length = {"step": 12, "epoch": 4}[interval]
    expected = [0.2 * (1 + math.cos(math.pi * n / length)) for n in range(length)]
    assert rates(node, 4, 12) == pytest.approx(expected)


def test_a_warm_up_rises_evenly_to_the_rate_and_a_cosine_falls_to_the_floor() -> None:
    node = {
        "_target_": "sedcrnn.training.schedules.WarmupCosine",
        "warmup": 3,
        "length": None,
        "floor": 0.1,
        "interval": "step",
    }
    cosine = [0.4 * (0.1 + 0.9 * (1 + math.cos(math.pi * n / 5)) / 2) for n in range(5)]
    assert rates(node, 2, 8) == pytest.approx([0.1, 0.2, 0.3, *cosine])


def test_one_cycle_rises_in_a_share_of_the_steps_and_ends_with_the_last() -> None:
    node = {
        "_target_": f"{TORCHS}.OneCycleLR",
        "max_lr": 0.4,
        "total_steps": None,
        "pct_start": 0.3,
        "cycle_momentum": False,
        "interval": "step",
    }
    found = rates(node, 2, 10)
    rise = [0.4 / 25 + (0.4 - 0.4 / 25) * (1 - math.cos(math.pi * n / 2)) / 2 for n in range(3)]  # to step 0.3 * 10 - 1
    last = 0.4 / 25 / 1e4
    fall = [last + (0.4 - last) * (1 + math.cos(math.pi * n / 7)) / 2 for n in range(1, 8)]
    assert found == pytest.approx([*rise, *fall])


class Rates(Callback):
    """The rate of every optimiser step of a training."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        self.found.append(optimizer.param_groups[0]["lr"])


def test_accumulated_batches_are_one_step_of_the_schedule(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Rates()
    monkeypatch.setattr(stages, "StopEarly", lambda *_, **__: seen)  # stands among the training's callbacks
    options = ["recipe/scheduler=warmup_cosine", "recipe.scheduler.warmup=2", "recipe.optimizer.lr=0.3"]
    options += ["recipe.batch_size=2", "trainer.accumulate_grad_batches=3", "trainer.max_epochs=3"]
    train(stage("audio", *options))  # 8 clips: 4 batches, hence 2 steps an epoch, the second of one batch
    cosine = [0.15 * (1 + math.cos(math.pi * n / 4)) for n in range(4)]
    assert seen.found == pytest.approx([0.1, 0.2, *cosine])


def test_a_warm_up_as_long_as_the_training_is_refused_before_the_data(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touch(self: SceneData) -> None:
        raise AssertionError("the data were touched")

    monkeypatch.setattr(SceneData, "prepare_data", touch)
    options = ["recipe/scheduler=warmup_cosine", "recipe.scheduler.warmup=20"]
    with pytest.raises(ConfigError, match="warmup=20, and the training has 20"):
        train(stage("audio", *options, "recipe.scheduler.interval=epoch", "trainer.max_epochs=20"))
    with pytest.raises(ConfigError, match="warmup=20, and the training has 15"):
        train(stage("audio", *options, "recipe.steps=15"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["recipe/scheduler=warmup_cosine"], "warmup=100, and the training has 4"),
        (
            ["recipe/scheduler=one_cycle", "recipe.scheduler.total_steps=3"],
            "total_steps=3, and the training has 4",
        ),
    ],
)
def test_a_schedule_that_does_not_fit_the_number_of_clips_is_refused_before_training(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, options: list[str], expected: str
) -> None:
    def fit(*_: Any) -> None:
        raise AssertionError("the training has begun")

    monkeypatch.setattr(stages, "_fit", fit)
    with pytest.raises(ConfigError, match=expected):
        train(stage("audio", *options, "trainer.max_epochs=2", "recipe.batch_size=4"))
