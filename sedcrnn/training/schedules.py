"""A schedule's config -> torch's schedule over the steps or epochs of a training."""

import math
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from sedcrnn.config.targets import build
from sedcrnn.errors import ConfigError, check_choice

LENGTHS = ("T_max", "total_steps", "length")
"""Arguments that say how long a schedule is; null: as long as the training."""

UNKNOWN = 1 << 40
"""Steps or epochs, where the number of clips decides."""


def build_schedule(
    node: Mapping[str, Any], optimizer: Optimizer, epochs: int, steps: int
) -> tuple[LRScheduler | ReduceLROnPlateau, str]:
    """The schedule that a config names, and whether it is stepped by `step` or by `epoch` (its key `interval`, which no
    schedule of torch takes)."""
    interval = str(node.get("interval") or "epoch")
    check_choice("recipe.scheduler.interval", interval, ("epoch", "step"))
    length = steps if interval == "step" else epochs
    arguments = {key: value for key, value in node.items() if key != "interval"}
    arguments |= {key: length for key in LENGTHS if key in node and node[key] is None}
    if (given := arguments.get("total_steps")) is not None and length < UNKNOWN and given < length:
        raise ConfigError(
            f"recipe.scheduler.total_steps={given}, and the training has {length} {interval}s",
            "One cycle ends with the training, or after it",
            "Set recipe.scheduler.total_steps=null",
        )
    schedule: LRScheduler | ReduceLROnPlateau = build(arguments, "scheduler", optimizer=optimizer)
    return schedule, interval


class WarmupCosine(LambdaLR):
    """A learning rate that rises in proportion over `warmup` steps (or epochs), and falls by half a cosine to `floor`
    times the rate until `length`."""

    def __init__(self, optimizer: Optimizer, warmup: int, length: int, floor: float = 0.0) -> None:
        if warmup >= length:
            raise ConfigError(
                f"recipe.scheduler.warmup={warmup}, and the training has {length}",
                "The learning rate falls again after the warm-up",
                "Shorten it, or train for longer",
            )

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / (warmup + 1)
            done = min(1.0, (step - warmup) / (length - warmup))
            return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2

        super().__init__(optimizer, factor)
