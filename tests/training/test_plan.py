"""How many epochs and optimiser steps a stage has, and when it is told that they are few."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from sedcrnn.config.checking import checked
from sedcrnn.config.composition import compose
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.errors import ConfigError
from sedcrnn.training.plan import TrainingPlan, make_plan
from sedcrnn.training.stage import train

Stage = Callable[..., TrainConfig]


@pytest.mark.parametrize(
    ("overrides", "clips", "processes", "expected"),
    [
        # the paper's way
        ("trainer.max_epochs=200 recipe.batch_size=32", 8645, 1, TrainingPlan(200, 271)),
        ("recipe.steps=1000 recipe.batch_size=16", 36, 1, TrainingPlan(334, 3)),
        ("recipe.steps=1000 recipe.batch_size=16 recipe.windows_per_clip=4", 36, 1, TrainingPlan(112, 9)),
        ("recipe.steps=1000 recipe.batch_size=8", 64, 2, TrainingPlan(250, 4)),
        ("recipe.steps=10 recipe.batch_size=8 trainer.accumulate_grad_batches=3", 64, 1, TrainingPlan(4, 3)),
        ("recipe.steps=10 recipe.batch_size=8 +trainer.limit_train_batches=2", 64, 1, TrainingPlan(5, 2)),
        ("recipe.steps=10 recipe.batch_size=8 +trainer.limit_train_batches=0.5", 64, 1, TrainingPlan(3, 4)),
        # both are given: whichever ends first
        ("recipe.steps=1000 trainer.max_epochs=20 recipe.batch_size=8", 64, 1, TrainingPlan(20, 8)),
        ("recipe.steps=20 trainer.max_epochs=20 recipe.batch_size=8", 64, 1, TrainingPlan(3, 8)),
    ],
)
def test_epochs_follow_from_steps_and_from_the_number_of_clips(
    stage: Stage, overrides: str, clips: int, processes: int, expected: TrainingPlan
) -> None:
    assert make_plan(stage("audio", "trainer.max_epochs=null", *overrides.split()), clips, processes) == expected


def compose_train(*overrides: str) -> TrainConfig:
    config: TrainConfig = checked(compose("train", ["experiment=audio", *overrides]))
    return config


def test_steps_take_the_place_of_the_default_epochs() -> None:
    assert compose_train().trainer["max_epochs"] == 200
    assert compose_train("recipe.steps=500").trainer["max_epochs"] is None
    assert compose_train("recipe.steps=500", "trainer.max_epochs=3").trainer["max_epochs"] == 3
    debugged = compose_train("recipe.steps=500", "debug=overfit", "recipe.steps=null", "trainer.max_epochs=7")
    assert make_plan(debugged, 1000, 1) == TrainingPlan(7, 3)


def test_one_of_the_two_is_given(stage: Stage) -> None:
    with pytest.raises(
        ConfigError, match=r"Neither recipe\.steps nor trainer\.max_epochs is given to the stage 'audio'"
    ):
        make_plan(stage("audio", "trainer.max_epochs=null"), 10, 1)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.name == "sedcrnn.training.plan"]
    caplog.clear()
    return found


def test_few_steps_are_told_with_the_key_to_set(
    stage: Stage, caplog: pytest.LogCaptureFixture, fusion_parts: dict[str, Path]
) -> None:
    caplog.set_level(logging.INFO)
    train(stage("audio", "trainer.max_epochs=1"))
    assert warnings(caplog) == [
        "audio: 2 optimiser steps (1 epoch of 2) are too few to learn from; "
        "recipe.steps=1000 trainer.max_epochs=null gives it more."
    ]
    # neither where it is a trial nor where a trained network is refined
    train(stage("audio", "trainer.max_epochs=1", "debug=fast_dev_run"))
    train(stage("audio", "debug=overfit", "trainer.max_epochs=1", "trainer.overfit_batches=1"))
    train(stage("visual_finetune", f"init_from.visual={fusion_parts['visual']}", "trainer.max_epochs=1"))
    assert warnings(caplog) == []
