"""Weights of many steps -> their average, which is validated and kept as the best checkpoint (docs/recipes.md)."""

from collections.abc import Sequence
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class WeightAverage(Callback):
    """Averages a network's weights and statistics in training, and puts the average in their place for validation.

    `ema` is the moving average after every optimiser step; its decay rises to `decay` as (1 + n) / (10 + n), so that
    the first weights are soon forgotten. `swa` (Izmailov et al. 2018, 1803.05407) is the mean of the weights after each
    epoch of the last `1 - start` of the training; before, validation sees the weights themselves.

    Statistics of batch normalisation are averaged like weights, instead of being computed anew for the average. The
    callback stands before those that save; `WeightsBack` stands between the best and the last checkpoint.
    """

    def __init__(self, kind: str, decay: float, start: float, epochs: int) -> None:
        self.kind, self.decay, self.first = kind, decay, int(start * epochs)
        self.average: AveragedModel | None = None
        self.kept: dict[str, Tensor] = {}  # the weights themselves, while the average is in their place
        self.steps = 0
        self._state: dict[str, Any] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin with the weights as they are, or go on with the average of an earlier command."""
        network = _network(pl_module)
        # Frozen parts are averaged with the rest, and stay what they are.
        self.average = AveragedModel(network, multi_avg_fn=self._averaged, use_buffers=True)
        if self._state is not None:
            self.average.load_state_dict(self._state)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from the step that an earlier command got to, which is known from here on."""
        self.steps = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the weights after an optimiser step into the moving average."""
        if self.kind == "ema" and trainer.global_step > self.steps:
            self._update(pl_module)
        self.steps = trainer.global_step

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average into the network's place, at the end of an epoch of training."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        if self.kind == "swa" and trainer.current_epoch >= self.first:
            self._update(pl_module)
        if self.kind == "ema" or trainer.current_epoch >= self.first:
            assert self.average is not None
            network = _network(pl_module)
            self.kept = {name: values.detach().clone() for name, values in network.state_dict().items()}
            network.load_state_dict(self.average.module.state_dict())

    def give_back(self, module: LightningModule) -> None:
        """Put the weights themselves back."""
        if self.kept:
            _network(module).load_state_dict(self.kept)
            self.kept = {}

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """As at the end of an epoch."""
        self.give_back(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The average so far."""
        return {} if self.average is None else {"average": self.average.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._state = state.get("average")

    def _update(self, module: LightningModule) -> None:
        assert self.average is not None
        self.average.update_parameters(_network(module))

    @torch.no_grad()
    def _averaged(self, averages: Sequence[Tensor], current: Sequence[Tensor], number: Tensor | int) -> None:
        """One step of the average, of which there were `number` before."""
        count = int(number)
        rate = 1 - min(self.decay, (1 + count) / (10 + count)) if self.kind == "ema" else 1 / (count + 1)
        for average, values in zip(averages, current, strict=True):
            if average.is_floating_point():
                average.lerp_(values.to(average.dtype), rate)
            else:  # how many batches the statistics have seen
                average.copy_(values)


def _network(module: LightningModule) -> nn.Module:
    network = module.network
    assert isinstance(network, nn.Module)
    return network


class WeightsBack(Checkpoint):
    """Ends the part of an epoch in which the average stands in the weights' place. It is one of the checkpoints, which
    Lightning calls last."""

    def __init__(self, average: WeightAverage) -> None:
        self.average = average

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the weights back, after the best checkpoint and before the last one."""
        self.average.give_back(pl_module)
