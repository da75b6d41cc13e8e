"""The stages in order, each from the ones before it; then the evaluation and the table.

python -m sedcrnn.pipeline [stages=demo] [any override of sedcrnn.train, for every stage]
"""

import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from sedcrnn.checkpoints import BEST
from sedcrnn.commands import command
from sedcrnn.config import TrainConfig, checked
from sedcrnn.evaluate import PREDICTIONS, evaluate
from sedcrnn.evaluation.table import results_table
from sedcrnn.runs import say
from sedcrnn.starts import PREVIOUS
from sedcrnn.train import train

_OWN_KEYS = ("stages", "hydra")  # overrides that are the pipeline's, not the stages'


def run_pipeline(stages: dict[str, list[str]], overrides: list[str]) -> dict[str, Path]:
    """Train every stage, or find it trained.

    Args:
        stages: experiment name -> overrides of that stage alone.
        overrides: overrides of every stage.

    Returns:
        The latest run folder of each kind of network, in training order.
    """
    configs = {stage: compose_stage(stage, [*overrides, *own]) for stage, own in stages.items()}
    runs: dict[str, Path] = {}
    for number, (stage, config) in enumerate(configs.items(), start=1):
        say(f"\n[{number}/{len(configs)}] {stage}")
        started = time.monotonic()
        for kind, run in runs.items():
            if getattr(config.start_from, kind) == PREVIOUS:
                setattr(config.start_from, kind, str(run))
        kind = str(config.model["_target_"]).rsplit(".", 1)[-1].removesuffix("Module").lower()
        runs.pop(kind, None)
        runs[kind] = train(config)
        say(f"[{number}/{len(configs)}] {stage} took {time.monotonic() - started:.0f} s")
    return runs


def compose_stage(stage: str, overrides: list[str]) -> TrainConfig:
    """The checked config of one stage of a running pipeline."""
    config: TrainConfig = checked(hydra.compose("train", [f"experiment={stage}", *overrides]))
    return config


@command("pipeline")
def main(config: DictConfig) -> None:
    """Train the stages that the command line describes, evaluate the last of each kind, print the table."""
    overrides = [
        override
        for override in HydraConfig.get().overrides.task
        if override.lstrip("+~").split("=")[0].split(".")[0].split("@")[0] not in _OWN_KEYS
    ]
    runs = run_pipeline({str(stage): list(own) for stage, own in config.stages.items()}, overrides)
    say("\nEvaluating on the test fold")
    results = [evaluate(str(run), fold="test", store=config.store) for run in runs.values()]
    say(results_table(results))
    say("\nFiles")
    for run, metrics in zip(runs.values(), results, strict=True):
        say(f"  {run / BEST}\n  {metrics}\n  {metrics.with_name(PREDICTIONS)}")


if __name__ == "__main__":
    main()
