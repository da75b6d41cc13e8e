"""The stages for own recordings: what they are composed of."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from sedcrnn.config.composition import compose
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.training.pipeline_stages import compose_stages

STAGES = {"own_audio": "audio", "own_visual": "visual", "own_fusion": "fusion"}


@pytest.fixture
def stages(tmp_path: Path) -> Mapping[str, TrainConfig]:
    overrides = ["data=folder", f"data.root={tmp_path}"]
    pipeline = compose("pipeline", ["stages=own", *overrides])
    return compose_stages(pipeline.stages, {}, overrides)


def test_own_recordings_have_three_stages_in_order(stages: Mapping[str, TrainConfig]) -> None:
    assert list(stages) == list(STAGES)
    assert [config.name for config in stages.values()] == list(STAGES)


def test_own_recordings_are_trained_by_steps_and_selected_by_log_loss(stages: Mapping[str, TrainConfig]) -> None:
    assert [config.recipe.steps for config in stages.values()] == [1500, 1000, 2000]
    assert {config.recipe.select_by for config in stages.values()} == {"log_loss"}
    assert {config.trainer["max_epochs"] for config in stages.values()} == {None}


def test_the_frame_encoder_of_own_recordings_is_published_frozen_and_stored(stages: Mapping[str, TrainConfig]) -> None:
    visual = stages["own_visual"]
    assert visual.init_from.encoder == "published"
    assert visual.model["network"]["backbone"] == "tf_efficientnet_lite0.in1k"
    assert (visual.recipe.frozen, visual.recipe.cache_frozen) == (["encoder"], True)


def test_all_stages_of_own_recordings_see_the_same_frames(stages: Mapping[str, TrainConfig]) -> None:
    frames = [config.features.frames for config in stages.values()]
    assert all(node == frames[0] for node in frames)
    assert frames[0] is not None
    assert (frames[0]["height"], frames[0]["storage"]) == (160, "none")


def test_the_fusion_of_own_recordings_starts_from_the_two_networks_before_it(stages: Mapping[str, TrainConfig]) -> None:
    fusion = stages["own_fusion"]
    assert (fusion.init_from.audio, fusion.init_from.visual) == ("previous", "previous")
    assert fusion.model["network"]["late_inputs"] == "log_probabilities"
