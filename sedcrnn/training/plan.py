"""How long a stage is trained, and on which windows: recipe and number of clips -> epochs and optimiser steps."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sedcrnn.config.stage_config import RecipeConfig, TrainConfig
from sedcrnn.datasets.windows import STEPS_PER_WINDOW, Drawing, count_batches
from sedcrnn.errors import ConfigError
from sedcrnn.features.feature import Feature
from sedcrnn.features.spectrogram import Spectrogram

log = logging.getLogger(__name__)

FEW_STEPS = 300
"""Below it a network that is new, or whose new layers are, has hardly begun to learn: ten seconds of fusion layers, and
a hundredth of the paper's steps."""


@dataclass(frozen=True)
class TrainingPlan:
    """The most epochs, and the optimiser steps of each."""

    epochs: int
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.epochs * self.steps_per_epoch

    def __str__(self) -> str:
        epochs = f"{self.epochs:,} epoch{'s' * (self.epochs > 1)}"
        return f"{self.steps:,} optimiser steps ({epochs} of {self.steps_per_epoch:,})"


def make_plan(config: TrainConfig, clips: int, processes: int) -> TrainingPlan:
    """The plan for so many training clips, which so many processes share.

    Raises:
        ConfigError: neither epochs nor steps are given.
    """
    recipe, trainer = config.recipe, config.trainer
    batches = count_batches(clips, recipe.windows_per_clip, recipe.batch_size, processes)
    batches = _limited(batches, trainer.get("overfit_batches") or trainer.get("limit_train_batches"))
    steps_per_epoch = max(1, -(-batches // trainer.get("accumulate_grad_batches", 1)))
    enough = None if recipe.steps is None else -(-recipe.steps // steps_per_epoch)
    epochs = [most for most in (trainer["max_epochs"], enough) if most is not None]
    if not epochs:
        raise ConfigError(
            f"Neither recipe.steps nor trainer.max_epochs is given to the stage '{config.name}'",
            "One of them says how long it is trained",
            "Give recipe.steps=<optimiser steps>, or trainer.max_epochs=<epochs>",
        )
    return TrainingPlan(min(epochs), steps_per_epoch)


def choose_windows(recipe: RecipeConfig, features: Mapping[str, Feature]) -> Drawing:
    """Which windows training draws."""
    spectrogram, starts = features.get("spectrogram"), None
    columns = 1
    if recipe.window_starts != "steps" and isinstance(spectrogram, Spectrogram):
        columns = spectrogram.per_step
        if recipe.window_starts == "first_columns":  # the authors took bands for columns: 64 - 50
            starts = max(1, spectrogram.dimensions["bands"] - STEPS_PER_WINDOW * columns)
    return Drawing(
        windows_per_clip=recipe.windows_per_clip,
        columns=columns,
        starts=starts,
        balanced=recipe.sampling == "balanced",
        partners=recipe.mixup_partners == "independent" and max(recipe.mixup_alpha, recipe.mixup_embeddings) > 0,
    )


def warn_of_few_steps(config: TrainConfig, plan: TrainingPlan) -> None:
    """Say so where a network has too few steps to learn from, unless that is what was asked for."""
    if plan.steps < FEW_STEPS and not _is_a_trial(config.trainer):
        more = "recipe.steps=1000 trainer.max_epochs=null gives it more"
        log.warning("%s: %s are too few to learn from; %s.", config.name, plan, more)


def _is_a_trial(trainer: Mapping[str, Any]) -> bool:
    return any(trainer.get(key) for key in ("fast_dev_run", "overfit_batches", "profiler"))


def _limited(batches: int, limit: int | float | None) -> int:
    """The batches that Lightning takes of an epoch: all, so many, or a share of them."""
    if limit is None:
        return batches
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)
