"""Every list of stages composes, at the experiments' own sizes and at small ones."""

from functools import cache

import pytest

from sedcrnn.config.composition import CONF, compose
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.errors import ConfigError
from sedcrnn.reporting.tables import project_tables, read_tables
from sedcrnn.training.pipeline_stages import compose_stages, run_pipeline, run_stages

LISTS = sorted(path.stem for path in (CONF / "stages").glob("[!_]*.yaml"))


@cache
def stages(name: str, *overrides: str, every: tuple[str, ...] = ()) -> dict[str, TrainConfig]:
    config = compose("pipeline", [f"stages={name}", *overrides])
    return compose_stages(config.stages, config.sizes, every)


@pytest.mark.parametrize("name", LISTS)
def test_every_list_composes_and_names_its_runs_after_its_experiments(name: str) -> None:
    composed = stages(name)
    assert len(composed) >= 3
    assert all(config.name == stage for stage, config in composed.items())


def test_small_sizes_go_by_kind_then_by_stage_and_the_command_line_is_between() -> None:
    composed = stages("ablation", "sizes=small", every=("trainer.max_epochs=3", "seed=7"))
    assert {config.features.frames["height"] for config in composed.values()} == {64}
    assert {config.seed for config in composed.values()} == {7}
    assert composed["audio"].model["network"]["filters"] == [16, 32, 64]
    assert composed["negative_control"].model["network"]["filters"] == [16, 32, 64]
    assert composed["visual"].init_from.encoder is None
    assert composed["visual"].trainer["max_epochs"] == 3
    assert composed["visual_finetune"].trainer["max_epochs"] == 1  # its own
    assert composed["visual_finetune"].recipe.optimizer["lr"] == 1e-4
    assert composed["fusion_late"].recipe.optimizer["lr"] == 3e-3
    assert composed["fusion_cross_attention"].recipe.optimizer["lr"] == 1e-3
    joint = composed["fusion_joint"]
    assert joint.model["network"]["visual"]["backbone"] == "resnet10t"
    assert joint.recipe.learning_rates == {"visual.encoder": 1e-3}
    assert joint.recipe.head_weights == {"audio": 1.0, "visual": 1.0, "early": 1.0, "late": 1.0}
    alone = composed["fusion_unpretrained"].recipe.head_weights
    assert {head: weight for head, weight in alone.items() if weight} == {"early": 1.0, "late": 1.0}


def test_sizes_of_a_class_of_network_are_for_that_class_alone() -> None:
    composed = stages("choices", "sizes=small")
    assert composed["audio"].model["network"]["momentum"] == 0.1
    assert composed["audio_encoder"].model["network"]["backbone"] == "resnet10t"
    assert composed["audio_encoder"].trainer["max_epochs"] == composed["audio"].trainer["max_epochs"]
    assert composed["audio_encoder_frozen"].recipe.cache_frozen


def test_frozen_rows_are_cached_and_those_with_inputs_changed_in_front_are_not() -> None:
    composed = stages("ablation", "sizes=small", every=("trainer.max_epochs=3", "seed=7"))
    cached = {stage for stage, config in composed.items() if config.recipe.cache_frozen}
    assert cached == {
        "fusion_late_average",
        "fusion_late",
        "fusion_early",
        "fusion",
        "fusion_gated",
        "fusion_cross_attention",
        "fusion_masked",
        "fusion_masked_zero",
    }
    assert composed["fusion_modality_dropout"].recipe.frozen == ["audio", "visual"]


def test_every_row_of_the_report_is_an_experiment_and_every_stage_of_an_ablation_a_row() -> None:
    rows = {row.experiment for table in read_tables(project_tables()) for row in table.rows}
    assert rows == {path.stem for path in (CONF / "experiment").glob("*.yaml")}
    assert {*stages("ablation"), *stages("choices")} <= rows


@pytest.mark.parametrize("key", ["score", "robustness"])
def test_a_misspelt_stage_is_refused_with_the_nearest(key: str) -> None:
    given = {"robustness_of": ["demo_fusoin"], "score": None} if key == "robustness" else {"score": "demo_fusoin"}
    config = compose("pipeline", ["stages=demo"])
    with pytest.raises(ConfigError, match=f"stage that {key} names is 'demo_fusoin'.*nearest is 'demo_fusion'"):
        run_stages(config.stages, {}, [0], None, "heads", note="", page=None, **{"robustness_of": [], **given})


def test_a_pipeline_of_trials_or_of_unlike_processes_is_refused() -> None:
    trial = stages("demo", every=("+trainer.fast_dev_run=true",))
    with pytest.raises(ConfigError, match=r"fast_dev_run is given to a pipeline.*one by one"):
        run_pipeline(trial)
    unlike = stages("demo", every=("trainer=cpu",))
    unlike["demo_fusion"].trainer |= {"devices": 2, "strategy": "ddp"}
    with pytest.raises(ConfigError, match=r"different numbers of processes \(demo_audio: 1, .*demo_fusion: 2\)"):
        run_pipeline(unlike)
