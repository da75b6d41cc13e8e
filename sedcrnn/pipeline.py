"""All stages of a recipe in order, each from the ones before it; then the evaluation and the table.

sedcrnn pipeline data=tau2021 data.root=<folder>
sedcrnn pipeline stages=demo seeds=0,1,2
sedcrnn pipeline stages=own data=folder data.root=recordings
sedcrnn pipeline stages=own data=folder data.root=recordings folds=5 hydra.launcher.jobs=2
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic.dataclasses import dataclass

from sedcrnn.cli import command, scored
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.config.values import CHECKED, Folds, Name, PathName, Seed


@dataclass(config=CHECKED, kw_only=True)
class PipelineConfig(TrainConfig):
    """The stages, and whatever a stage takes, which then holds for all of them."""

    stages: Annotated[dict[str, list[str]], "Experiments that are trained, in order -> overrides of each alone."]
    sizes: Annotated[dict[str, Any], "Kind of network, class of network, or experiment -> overrides of such stages."]
    note: Annotated[str, "What is printed before the first stage."]
    table: Annotated[Literal["heads", "stages"], "A row per head of the last networks, or a row per stage."]
    robustness: Annotated[list[Name], "Stages whose networks are scored under worse conditions too."]
    score: Annotated[Name | None, "Stage whose network is the result, which a sweep compares; null: the last."]
    page: Annotated[PathName | None, "Report of all runs that is written at the end; null: none."]
    folds: Annotated[
        Folds | None, "Everything once per fold, held out in turn, then one result of all; null: no folds."
    ]
    seeds: Annotated[list[Seed] | None, "Everything once per seed, then mean and spread; null: the one in `seed`."]


@command(PipelineConfig, config_name="pipeline")
@scored
def main(config: PipelineConfig) -> float | None:
    """Train the stages, evaluate them, print the table."""
    from sedcrnn.runs.outputs import check_place
    from sedcrnn.training.pipeline_stages import run_stages

    check_place("page", config.page)
    return run_stages(
        config.stages,
        config.sizes,
        config.seeds or [config.seed],
        config.folds,
        config.table,
        config.robustness,
        config.score,
        config.note,
        Path(config.page) if config.page else None,
    )


if __name__ == "__main__":
    main()
