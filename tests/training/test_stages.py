"""Every list of stages composes, at the experiments' own sizes and at small ones."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from sedcrnn.config.composition import CONF
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.reporting.rows_file import read_rows
from sedcrnn.training.pipeline_stages import compose_stages

LISTS = sorted(path.stem for path in (CONF / "stages").glob("*.yaml"))


def stages(name: str, *overrides: str, every: tuple[str, ...] = ()) -> dict[str, TrainConfig]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose_stages(compose("pipeline", [f"stages={name}", *overrides]), list(every))


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


def test_frozen_rows_are_cached_and_those_with_inputs_changed_in_front_are_not() -> None:
    composed = stages("ablation", "sizes=small")
    cached = {stage for stage, config in composed.items() if config.recipe.cache_frozen}
    assert cached == {
        "fusion_late_average",
        "fusion_late",
        "fusion_early",
        "fusion",
        "fusion_gated",
        "fusion_cross_attention",
    }
    assert composed["fusion_modality_dropout"].recipe.frozen == ["audio", "visual"]


def test_every_row_of_the_report_is_an_experiment_and_every_stage_of_an_ablation_a_row() -> None:
    rows = {row.experiment for table in read_rows(CONF / "experiment" / "rows.yaml") for row in table.rows}
    experiments = {path.stem for path in Path(CONF / "experiment").glob("*.yaml")} - {"rows"}
    assert rows == experiments
    assert {*stages("ablation"), *stages("choices")} <= rows
