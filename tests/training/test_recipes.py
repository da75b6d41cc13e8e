"""Choices of a recipe in whole trainings: averages, accumulated batches, mixup of embeddings, balanced windows."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch.optim.optimizer import register_optimizer_step_post_hook

from sedcrnn.config.composition import CONF
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.errors import ConfigError, DataError
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.training.averaging import WeightAverage
from sedcrnn.training.modules import SceneModule
from sedcrnn.training.schedules import build_schedule
from sedcrnn.training.stage import train

Stage = Callable[..., TrainConfig]
Weights = dict[str, torch.Tensor]

RESUMED = {
    "one cycle": ["recipe/scheduler=one_cycle"],
    "warm-up": ["recipe/scheduler=warmup_cosine", "recipe.scheduler.warmup=3", "recipe/optimizer=sgd"],
    "cosine by step": ["recipe/scheduler=cosine", "recipe.scheduler.interval=step"],
    "ema": ["recipe.averaging=ema", "recipe.averaging_decay=0.5", "recipe.loss.focal_gamma=2.0"],
    "ema of accumulated batches": ["recipe.averaging=ema", "trainer.accumulate_grad_batches=2", "recipe.batch_size=2"],
    "swa": ["recipe.averaging=swa", "recipe.averaging_start=0.3", "recipe.select_by=log_loss"],
}


@pytest.mark.parametrize("choice", RESUMED)
def test_every_choice_ends_as_it_would_have_after_a_kill(
    stage: Stage, tmp_path: Path, killed_at: Callable[..., None], choice: str
) -> None:
    options = ["trainer.max_epochs=4", "recipe.optimizer.lr=0.01", *RESUMED[choice]]

    def config(runs: str) -> TrainConfig:
        return stage("audio", *options, f"runs={tmp_path / runs}")

    whole = trained(config("whole"))
    killed_at(config("killed"), 2, 1)
    killed = trained(config("killed"))
    assert (killed / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert load_checkpoint(str(killed)).digest == load_checkpoint(str(whole)).digest
    assert best(killed) == best(whole)


def trained(config: TrainConfig) -> Path:
    run = train(config)
    assert run is not None
    return run


def best(run: Path) -> dict[str, float]:
    scores: dict[str, float] = json.loads((run / "record.json").read_text())["best"]
    return scores


def column(run: Path, name: str) -> list[float]:
    return [float(row[name]) for row in csv.DictReader((run / "metrics.csv").open())]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Weights]:
    """The weights after every optimiser step of what is trained from here on."""
    steps: list[Weights] = []
    step = SceneModule.optimizer_step

    def remember(module: SceneModule, *arguments: Any, **named: Any) -> None:
        step(module, *arguments, **named)
        steps.append({name: value.clone() for name, value in module.network.state_dict().items()})

    monkeypatch.setattr(SceneModule, "optimizer_step", remember)
    return steps


def test_validation_scores_the_average(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An average that is never changed is the network as it began, of which validation scores stay."""
    monkeypatch.setattr(WeightAverage, "_update", lambda *_: None)
    options = ["recipe.optimizer.lr=0.01"]
    scores = column(trained(stage("audio", *options, "recipe.averaging=ema")), "validation/macro_log_loss")
    assert scores == [scores[0]] * 3
    monkeypatch.undo()
    own = column(trained(stage("audio", *options)), "validation/macro_log_loss")
    assert max(own) - min(own) > 1e-3


def test_two_batches_of_two_are_one_of_four(
    stage: Stage, fusion_parts: dict[str, Path], seen: list[Weights], tmp_path: Path
) -> None:
    """On stored values of frozen parts, of layers without BN and dropout; clipped, in float32."""
    parts = [f"init_from.{name}={run}" for name, run in fusion_parts.items()]
    common = [*parts, "recipe/optimizer=sgd", "recipe.optimizer.lr=0.1", "trainer.gradient_clip_val=0.05"]
    common += ["recipe/scheduler=warmup_cosine", "recipe.scheduler.warmup=2", "recipe.cache_frozen=true"]
    one = trained(stage("fusion", *common, "recipe.batch_size=4"))
    whole, seen[:] = list(seen), []
    accumulated = ["recipe.batch_size=2", "trainer.accumulate_grad_batches=2"]
    two = trained(stage("fusion", *common, *accumulated))
    assert len(seen) == len(whole) == json.loads((two / "record.json").read_text())["steps"]
    for weights, expected in zip(seen, whole, strict=True):
        for name, value in weights.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)
    assert column(one, "train/learning_rate") == column(two, "train/learning_rate")
    assert any(not torch.equal(value, whole[0][name]) for name, value in whole[-1].items())


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_bounded_for_a_fused_optimiser_too(stage: Stage, precision: str) -> None:
    norms: dict[float, list[float]] = {1e-4: [], 1e9: []}
    for bound, found in norms.items():

        def note(optimizer: torch.optim.Optimizer, *_: object, found: list[float] = found) -> None:
            gradients = [
                one.grad for group in optimizer.param_groups for one in group["params"] if one.grad is not None
            ]
            if len(gradients) > 1:  # one is the trial before the training
                found.append(float(torch.nn.utils.get_total_norm(gradients)))

        handle = register_optimizer_step_post_hook(note)
        options = ["trainer.max_epochs=1", f"trainer.precision={precision}", f"trainer.gradient_clip_val={bound}"]
        config = stage("audio", *options)
        assert config.recipe.optimizer["fused"] is True
        train(config)
        handle.remove()
    assert max(norms[1e-4]) == pytest.approx(1e-4, rel=1e-2)
    assert min(norms[1e9]) > 1e-2


def test_embeddings_are_mixed_where_frozen_parts_are_cached(stage: Stage, fusion_parts: dict[str, Path]) -> None:
    parts = [f"init_from.{name}={run}" for name, run in fusion_parts.items()]
    mixed = ["recipe.mixup_embeddings=0.4", "recipe.mixup_alpha=0.0", *parts]
    runs = [trained(stage("fusion", *mixed, f"recipe.cache_frozen={cached}")) for cached in ("true", "false")]
    cached, computed = (column(run, "train/loss") for run in runs)
    assert cached == pytest.approx(computed, rel=1e-4)
    plain = column(trained(stage("fusion", *parts, "recipe.cache_frozen=true")), "train/loss")
    assert abs(plain[0] - cached[0]) > 1e-4


def test_balanced_scenes_in_a_training(own_stage: Stage, own_root: Path) -> None:
    """Weights stand in the checkpoint as numbers, and windows are balanced, which a killed run goes on with."""
    options = ["data=folder", f"data.root={own_root}", "recipe.loss.class_weights=balanced"]
    run = trained(own_stage("audio", *options, "recipe.sampling=balanced", "trainer.max_epochs=1"))
    checkpoint = load_checkpoint(str(run))
    weights = checkpoint.recipe["loss"]["class_weights"]
    assert set(weights) == set(checkpoint.scenes)
    assert all(isinstance(weight, float) for weight in weights.values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["recipe.loss.class_weights=balanced"], "There are no clips of airport, metro"),
        (["recipe.sampling=balanced"], "There are no clips of airport, metro"),
        (["+recipe.loss.class_weights.tramm=2.0"], "tramm.*nearest"),
        (["recipe/scheduler=warmup_cosine", "recipe.scheduler.warmup=6"], "warmup=6, and the training has 6"),
        (
            ["recipe/scheduler=warmup_cosine", "recipe.scheduler.warmup=9", "recipe.steps=9"],
            "warmup=9, and the training has 9",
        ),
        (
            ["recipe/scheduler=one_cycle", "recipe.scheduler.total_steps=2"],
            "total_steps=2, and the training has 6 steps",
        ),
        (["+recipe.scheduler.interval=step"], "no config key .recipe.scheduler.interval."),
        (["+recipe.loss.class_weights.bus=-1.0"], "class_weights.bus is -1.0"),
    ],
)
def test_choices_that_make_no_sense_are_refused(stage: Stage, options: list[str], words: str) -> None:
    with pytest.raises((ConfigError, DataError), match=words):
        train(stage("audio", *options))


def test_a_schedule_of_ones_own_goes_by_steps_or_epochs() -> None:
    node = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1, "interval": "batch"}
    with pytest.raises(ConfigError, match="'batch'"):
        build_schedule(node, torch.optim.SGD([torch.zeros(1)]), epochs=1, steps=1)


ROWS = [name for name in OmegaConf.load(CONF / "stages" / "recipes.yaml").stages if name != "fusion_small"]
BALANCED = ("fusion_small_balanced", "fusion_small_weights")  # this set has clips of three scenes alone


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in ROWS if row not in BALANCED])
def test_every_row_trains(stage: Stage, fusion_parts: dict[str, Path], row: str) -> None:
    parts = [f"init_from.{name}={run}" for name, run in fusion_parts.items()]
    warmup = ["recipe.scheduler.warmup=2"] if row == "fusion_small_warmup" else []
    run = trained(stage(row, *parts, "recipe.steps=6", *warmup))
    assert all(math.isfinite(loss) for loss in column(run, "train/loss"))
