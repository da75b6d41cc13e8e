"""Averages of weights, by hand; what is validated and kept is the average, and what is trained is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.runs.checkpoints import BEST
from sedcrnn.training import stage as stages
from sedcrnn.training.stage import train

Stage = Callable[..., TrainConfig]
Weights = dict[str, Tensor]

LAYER = "dense.weight"


class Watch(Callback):
    """The weights after every optimiser step and in every validation of a training."""

    def __init__(self) -> None:
        self.steps: list[Weights] = []
        self.epochs: list[Weights] = []
        self.validated: list[Weights] = []
        self.begun: list[Weights] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begun.append(_weights(pl_module))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_step > len(self.steps):
            self.steps.append(_weights(pl_module))
        if trainer.is_last_batch:
            self.epochs.append(_weights(pl_module))

    def on_validation_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if not trainer.sanity_checking and len(self.validated) < len(self.epochs):
            self.validated.append(_weights(pl_module))


def _weights(module: LightningModule) -> Weights:
    network = module.network
    assert isinstance(network, torch.nn.Module)
    return {name: values.detach().clone().double() for name, values in network.state_dict().items()}


@pytest.fixture
def watched(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Watch, Path]]:
    def trained(experiment: str, *options: str) -> tuple[Watch, Path]:
        watch = Watch()
        monkeypatch.setattr(stages, "StopEarly", lambda *_, **__: watch)  # stands among the training's callbacks
        run = train(stage(experiment, "recipe.optimizer.lr=0.02", "recipe.batch_size=2", *options))
        assert run is not None
        return watch, run

    return trained


def assert_same(found: Weights, expected: Weights) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-4, atol=1e-5, msg=name)


def mean(weights: list[Weights]) -> Weights:
    counts = {name for name in weights[0] if name.endswith("num_batches_tracked")}
    return {
        name: weights[-1][name] if name in counts else torch.stack([one[name] for one in weights]).mean(0)
        for name in weights[0]
    }


def moving_average(weights: list[Weights], decay: float) -> Weights:
    average = weights[0]
    for number, current in enumerate(weights[1:], 1):
        kept = min(decay, (1 + number) / (10 + number))
        average = {
            name: current[name]
            if name.endswith("num_batches_tracked")
            else kept * average[name] + (1 - kept) * current[name]
            for name in average
        }
    return average


def test_the_moving_average_is_validated_and_the_weights_are_trained_on(
    watched: Callable[..., tuple[Watch, Path]],
) -> None:
    # 8 clips: 4 batches, hence 2 optimiser steps an epoch
    options = ["recipe.averaging=ema", "recipe.averaging_decay=0.3", "trainer.accumulate_grad_batches=2"]
    watch, run = watched("audio", *options, "trainer.max_epochs=3")
    assert len(watch.steps) == 6
    for epoch in range(3):
        assert_same(watch.validated[epoch], moving_average(watch.steps[: 2 * (epoch + 1)], 0.3))
    for epoch in (1, 2):  # an epoch goes on with the weights that the one before ended with
        assert_same(watch.begun[epoch], watch.epochs[epoch - 1])
    assert not torch.allclose(watch.validated[2][LAYER], watch.epochs[2][LAYER], atol=1e-4)
    best = _kept(run)
    assert any(all(torch.equal(best[name], one[name]) for name in best) for one in watch.validated)


def test_swa_is_the_mean_of_the_weights_after_the_last_epochs(watched: Callable[..., tuple[Watch, Path]]) -> None:
    options = ["recipe.averaging=swa", "recipe.averaging_start=0.5", "trainer.max_epochs=4"]
    watch, _ = watched("audio", *options)
    assert_same(watch.validated[0], watch.epochs[0])
    assert_same(watch.validated[1], watch.epochs[1])
    assert_same(watch.validated[2], watch.epochs[2])  # the mean of one
    assert_same(watch.validated[3], mean(watch.epochs[2:]))
    assert_same(watch.begun[3], watch.epochs[2])


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_frozen_parts_stay_as_they_are_and_stored_values_serve(
    watched: Callable[..., tuple[Watch, Path]], fusion_parts: dict[str, Path], kind: str
) -> None:
    starts = [f"init_from.{part}={folder}" for part, folder in fusion_parts.items()]
    options = [f"recipe.averaging={kind}", "recipe.averaging_start=0", "recipe.cache_frozen=true"]
    watch, run = watched("fusion", *starts, *options, "trainer.max_epochs=2")
    best, begun = _kept(run), watch.begun[0]
    frozen = [name for name in begun if name.startswith(("audio.", "visual."))]
    assert frozen
    assert all(torch.equal(best[name], begun[name]) for name in frozen)
    fused = [name for name in begun if name not in frozen]
    assert any(not torch.equal(best[name], begun[name]) for name in fused)


def _kept(run: Path) -> Weights:
    state = torch.load(run / BEST, map_location="cpu", weights_only=True)["state_dict"]
    return {name.removeprefix("network."): values.double() for name, values in state.items()}
