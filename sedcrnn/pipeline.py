"""The stages in order, each from the ones before it; then the evaluation and the table.

python -m sedcrnn.pipeline [stages=demo] [seeds=[0,1,2]] [any override of sedcrnn.train, for every stage]
"""

import time
from collections.abc import Mapping
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from sedcrnn.checkpoints import BEST, network_kind
from sedcrnn.commands import command
from sedcrnn.config import TrainConfig, checked
from sedcrnn.distributed import count_processes
from sedcrnn.errors import ConfigError
from sedcrnn.evaluate import PREDICTIONS, evaluate
from sedcrnn.evaluation.table import results_table, spread_table
from sedcrnn.runs import is_first_process, report_score, say
from sedcrnn.starts import PREVIOUS, load_encoder
from sedcrnn.train import train

_OWN_KEYS = ("stages", "seeds", "note", "hydra")  # overrides that are the pipeline's, not the stages'


def run_pipeline(stages: dict[str, list[str]], overrides: list[str]) -> list[Path]:
    """Train every stage, or find it trained; evaluate the last run of each kind of network on the test fold.

    Args:
        stages: experiment name -> overrides of that stage alone.
        overrides: overrides of every stage.

    Returns:
        The metrics.json of each evaluated run; nothing in the other processes of a distributed run, which only train.

    Raises:
        ConfigError: stages that train with different numbers of processes.
    """
    configs = {stage: compose_stage(stage, [*overrides, *own]) for stage, own in stages.items()}
    _check_processes(configs)
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
    if not is_first_process():
        return []
    say("\nEvaluating on the test fold")
    return [evaluate(str(run), fold="test", store=store) for run in runs.values()]


def _check_processes(configs: Mapping[str, TrainConfig]) -> None:
    """The stages follow one another in the same processes, so that there are as many for each."""
    processes = {stage: count_processes(config.trainer) for stage, config in configs.items()}
    if len(set(processes.values())) > 1:
        told = ", ".join(f"{stage}: {number}" for stage, number in processes.items())
        raise ConfigError(
            f"The stages train with different numbers of processes ({told})",
            "trainer.devices and trainer.num_nodes are the same for all stages of a pipeline",
            "Make them so, or train the stages one by one with sedcrnn.train",
        )


def compose_stage(stage: str, overrides: list[str]) -> TrainConfig:
    """The checked config of one stage, composed as `sedcrnn.train` would."""
    config: TrainConfig = checked(hydra.compose("train", [f"experiment={stage}", *overrides]))
    return config


@command("pipeline")
def main(config: DictConfig) -> float | None:
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
        if not is_first_process():
            continue
        say("\n" + results_table(metrics))
        say("\nFiles")
        for path in metrics:
            run = path.parents[2]
            say(f"  {run / BEST}\n  {path}\n  {path.with_name(PREDICTIONS)}")
        results.append(metrics)
    if len(results) > 1:
        say("\n" + spread_table(results))
    return report_score(*(metrics[-1].parents[2] for metrics in results)) if results else None


if __name__ == "__main__":
    main()
