"""The stages in order, each from the ones before it; then the evaluation and the table.

python -m sedcrnn.pipeline [stages=demo] [seeds=[0,1,2]] [any override of sedcrnn.train, for every stage]
"""

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from sedcrnn.config.checking import checked
from sedcrnn.config.composition import compose
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.errors import ConfigError, nearest
from sedcrnn.evaluation.fold_scores import PREDICTIONS, evaluate
from sedcrnn.evaluation.robustness_scores import robustness
from sedcrnn.reporting.results_tables import results_table, spread_table, stages_table
from sedcrnn.runs.checkpoints import BEST, network_kind
from sedcrnn.runs.run_folder import report_score
from sedcrnn.sweeps.ranks import count_processes, is_first_process
from sedcrnn.training.init_from import PREVIOUS, load_encoder
from sedcrnn.training.stage import train

log = logging.getLogger(__name__)

# Overrides that are the pipeline's, not the stages'.
_OWN_KEYS = ("stages", "sizes", "seeds", "table", "robustness", "score", "note", "hydra")


@dataclass(frozen=True)
class Result:
    """An evaluated stage.

    Attributes:
        stage: name of its experiment.
        kind: `audio`, `visual` or `fusion`.
        metrics: metrics.json of the test fold; that of validation, which calibration takes, lies beside it.
    """

    stage: str
    kind: str
    metrics: Path


def run_pipeline(configs: Mapping[str, TrainConfig]) -> list[Result]:
    """Train every stage, or find it trained; evaluate them all.

    Args:
        configs: experiment name -> its config, in order.

    Returns:
        One result per stage; nothing in the other processes of a distributed run, which only train.

    Raises:
        ConfigError: stages that train with different numbers of processes.
    """
    _check_processes(configs)
    for config in configs.values():
        load_encoder(config)  # what is wrong with a later stage's weights is told before the first one trains
    latest: dict[str, Path] = {}
    runs: dict[str, Path] = {}
    for number, (stage, config) in enumerate(configs.items(), start=1):
        log.info(f"\n[{number}/{len(configs)}] {stage}, seed {config.seed}")
        started = time.monotonic()
        for kind, run in latest.items():
            if getattr(config.init_from, kind) == PREVIOUS:
                setattr(config.init_from, kind, str(run))
        runs[stage] = latest[_kind(config)] = train(config)
        log.info(f"[{number}/{len(configs)}] {stage} took {time.monotonic() - started:.0f} s")
    if not is_first_process():
        return []
    log.info("\nEvaluating on the validation and test folds")
    results = []
    for stage, run in runs.items():
        store, device = configs[stage].store, _device(configs[stage])
        evaluate(str(run), fold="validation", store=store, device=device)
        metrics = evaluate(str(run), fold="test", store=store, device=device)
        results.append(Result(stage, _kind(configs[stage]), metrics))
    return results


def try_robustness(stages: Sequence[str], configs: Mapping[str, TrainConfig], results: Sequence[Result]) -> None:
    """Score the named stages' networks under every condition of `sedcrnn.robustness`."""
    for result in results:
        if result.stage in stages:
            config = configs[result.stage]
            log.info(f"Worse conditions: {result.stage}")
            robustness(str(result.metrics.parents[2]), store=config.store, device=_device(config))


def _device(config: TrainConfig) -> str:
    return {"gpu": "cuda", "auto": "auto"}.get(config.trainer["accelerator"], "cpu")


def _kind(config: TrainConfig) -> str:
    return network_kind(config.model["network"])


def run_stages(
    stages: Mapping[str, list[str]],
    sizes: Mapping[str, list[str]],
    seeds: Sequence[int],
    table: str,
    robustness_of: Sequence[str],
    score: str | None,
    note: str,
) -> float | None:
    """Train and evaluate the stages for every seed, and print their table.

    Args:
        stages: experiment -> overrides of that stage alone, in order.
        sizes: kind of network or experiment -> overrides of such stages.
        seeds: everything is done once for each.
        table: `heads` or `stages`.
        robustness_of: stages whose networks are scored under worse conditions too.
        score: stage whose best validation score is returned; None: the last.
        note: what is printed first.

    Returns:
        The mean over seeds of that score; None in the other processes of a distributed run.
    """
    _check_named("robustness", robustness_of, stages)
    _check_named("score", [score] if score else [], stages)
    log.info(note)
    given = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    overrides = [one for one in given if one.lstrip("+~").split("=")[0].split(".")[0].split("@")[0] not in _OWN_KEYS]
    composed = [compose_stages(stages, sizes, [*overrides, f"seed={seed}"]) for seed in seeds]
    results: list[list[Result]] = []
    for configs in composed:
        result = run_pipeline(configs)
        if not is_first_process():
            continue
        results.append(result)
        try_robustness(robustness_of, configs, result)
        log.info("\n%s\n\nFiles", _table(table, [result]))
        for one in result:
            log.info("  %s\n  %s\n  %s", one.metrics.parents[2] / BEST, one.metrics, one.metrics.with_name(PREDICTIONS))
    if len(results) > 1:
        log.info("\n%s", _table(table, results))
    if not results:
        return None
    answer = results[-1][-1].metrics.parents[2]
    log.info("Next: sedcrnn predict run=%s <files>, or sedcrnn report", answer)
    scored = [one for result in results for one in result if one.stage == (score or result[-1].stage)]
    return report_score(*(one.metrics.parents[2] for one in scored))


def compose_stages(
    stages: Mapping[str, list[str]], sizes: Mapping[str, list[str]], overrides: Sequence[str]
) -> dict[str, TrainConfig]:
    """The configs of a pipeline's stages, in order.

    Args:
        stages: experiment name -> overrides of that stage alone.
        sizes: kind of network or experiment name -> overrides of such stages.
        overrides: of every stage. They win over the sizes of a kind, and what is for a stage alone wins over all.
    """
    composed = {}
    for stage, own in stages.items():
        kind = _kind(compose_stage(stage, [])) if sizes else stage
        of_stage = sizes.get(stage, []) if stage != kind else []
        composed[stage] = compose_stage(stage, [*sizes.get(kind, []), *overrides, *of_stage, *own])
    return composed


def _check_named(key: str, names: Sequence[str], stages: Collection[str]) -> None:
    """What the pipeline's config says of stages is of stages that it has."""
    for name in names:
        if name not in stages:
            raise ConfigError(
                f"{key} names the stage '{name}'",
                f"The stages are {', '.join(stages)}; the nearest is {nearest(name, stages)}",
                f"Correct the name, or set {key} to stages that there are",
            )


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
    config: TrainConfig = checked(compose("train", [f"experiment={stage}", *overrides]))
    return config


def _table(kind: str, results: Sequence[Sequence[Result]]) -> str:
    """Results by seed, one or more -> the table that the pipeline's config asks for: `heads` or `stages`."""
    if kind == "stages":
        return stages_table([{one.stage: one.metrics for one in result} for result in results])
    # The last run of each kind of network, in the order in which they were trained.
    last = [[one for one in result if one.kind not in _kinds_after(result, one)] for result in results]
    files = [[one.metrics for one in result] for result in last]
    return spread_table(files) if len(files) > 1 else results_table(files[0])


def _kinds_after(result: Sequence[Result], one: Result) -> set[str]:
    return {other.kind for other in result[result.index(one) + 1 :]}
