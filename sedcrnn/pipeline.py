"""The stages in order, each from the ones before it; then the evaluation and the table.

python -m sedcrnn.pipeline [stages=demo] [seeds=[0,1,2]] [any override of sedcrnn.train, for every stage]
"""

import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from sedcrnn.checkpoints import BEST, network_kind
from sedcrnn.commands import command
from sedcrnn.config import TrainConfig, checked
from sedcrnn.evaluate import PREDICTIONS, evaluate
from sedcrnn.evaluation.table import results_table, spread_table
from sedcrnn.runs import say
from sedcrnn.starts import PREVIOUS, load_encoder
from sedcrnn.train import train

_OWN_KEYS = ("stages", "seeds", "note", "hydra")  # overrides that are the pipeline's, not the stages'


def run_pipeline(stages: dict[str, list[str]], overrides: list[str]) -> list[Path]:
    """Train every stage, or find it trained; evaluate the last run of each kind of network.

    Args:
        stages: experiment name -> overrides of that stage alone.
        overrides: overrides of every stage.

    Returns:
        The metrics.json of each evaluated run on the test fold; validation's, which calibration takes, lies beside it.
    """
    configs = {stage: compose_stage(stage, [*overrides, *own]) for stage, own in stages.items()}
    for config in configs.values():
        load_encoder(config)  # what is wrong with a later stage's weights is told before the first one trains
    runs: dict[str, Path] = {}
    store = ""
    for number, (stage, config) in enumerate(configs.items(), start=1):
        say(f"\n[{number}/{len(configs)}] {stage}, seed {config.seed}")
        started = time.monotonic()
        for kind, run in runs.items():
            if getattr(config.start_from, kind) == PREVIOUS:
                setattr(config.start_from, kind, str(run))
        kind = network_kind(config.model["network"])
        runs.pop(kind, None)  # the latest comes last
        runs[kind], store = train(config), config.store
        say(f"[{number}/{len(configs)}] {stage} took {time.monotonic() - started:.0f} s")
    say("\nEvaluating on the validation and test folds")
    for run in runs.values():
        evaluate(str(run), fold="validation", store=store)
    return [evaluate(str(run), fold="test", store=store) for run in runs.values()]


def compose_stage(stage: str, overrides: list[str]) -> TrainConfig:
    """The checked config of one stage, composed as `sedcrnn.train` would."""
    config: TrainConfig = checked(hydra.compose("train", [f"experiment={stage}", *overrides]))
    return config


@command("pipeline")
def main(config: DictConfig) -> None:
    """Train the stages that the command line describes, evaluate the last of each kind, print the table."""
    say(config.note)
    overrides = [
        override
        for override in HydraConfig.get().overrides.task
        if override.lstrip("+~").split("=")[0].split(".")[0].split("@")[0] not in _OWN_KEYS
    ]
    stages = {str(stage): list(own) for stage, own in config.stages.items()}
    results: list[list[Path]] = []
    for seed in config.seeds or [config.seed]:
        metrics = run_pipeline(stages, [*overrides, f"seed={seed}"])
        say("\n" + results_table(metrics))
        say("\nFiles")
        for path in metrics:
            run = path.parents[2]
            say(f"  {run / BEST}\n  {path}\n  {path.with_name(PREDICTIONS)}")
        results.append(metrics)
    if len(results) > 1:
        say("\n" + spread_table(results))


if __name__ == "__main__":
    main()
