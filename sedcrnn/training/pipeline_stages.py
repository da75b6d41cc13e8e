"""The stages in order, each from the ones before it; then the evaluation and the table."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from sedcrnn.config.checking import checked
from sedcrnn.config.composition import compose
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.config.targets import build
from sedcrnn.datasets.clips import DataSource
from sedcrnn.datasets.cross_validation import ALL, parts
from sedcrnn.datasets.folds import city_in_name
from sedcrnn.errors import ConfigError, SedcrnnError, check_choice
from sedcrnn.evaluation.answer_check import answer_warnings
from sedcrnn.evaluation.fold_scores import evaluate
from sedcrnn.evaluation.pooling import pool
from sedcrnn.evaluation.result_names import PREDICTIONS
from sedcrnn.evaluation.robustness_scores import robustness
from sedcrnn.networks.execution import on_gpu
from sedcrnn.progress import time_in_words
from sedcrnn.reporting.collection import OWN_DATA
from sedcrnn.reporting.conclusion import conclusion
from sedcrnn.reporting.report_files import write_report
from sedcrnn.reporting.run_grids import SINGLE, heads_grid, stages_grid
from sedcrnn.runs.checkpoints import BEST
from sedcrnn.runs.records import report_score
from sedcrnn.sweeps.launch import launch_parts, own_slots
from sedcrnn.sweeps.ranks import count_processes, is_first_process
from sedcrnn.training.init_from import PREVIOUS, load_encoders, network_class
from sedcrnn.training.next_commands import next_commands
from sedcrnn.training.stage import train
from sedcrnn.training.time_left import TimeLeft

log = logging.getLogger(__name__)

# Overrides that are the pipeline's, not the stages'.
_OWN_KEYS = ("stages", "sizes", "seeds", "folds", "table", "robustness", "score", "note", "page", "hydra")

# What a pipeline that is one part of another one leaves to that: no parts of its own, and no report.
_OF_A_PART = ("folds=null", "seeds=null", "page=null")


def run_stages(
    stages: Mapping[str, list[str]],
    sizes: Mapping[str, list[str]],
    seeds: Sequence[int],
    folds: int | None,
    table: str,
    robustness_of: Sequence[str],
    score: str | None,
    note: str,
    page: Path | None,
) -> float | None:
    """Train and evaluate the stages for every seed, and every fold of each, and print their table; arguments as in
    `PipelineConfig`. The mean over seeds and folds of the best validation score of a stage; None in the other processes
    of a distributed run."""
    for key, name in [*(("robustness", name) for name in robustness_of), ("score", score)]:
        if name:
            check_choice(f"stage that {key} names", name, stages)
    log.info(note)
    given = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    overrides = [one for one in given if one.lstrip("+~").split("=")[0].split(".")[0].split("@")[0] not in _OWN_KEYS]
    words = []  # of every seed and fold
    composed = []  # of every seed, of every fold
    for seed in seeds:
        words_of_seed = [*overrides, f"seed={seed}"]
        configs = compose_stages(stages, sizes, words_of_seed)
        held_out = _held_out_in_turn(configs, folds)
        words += [[f"seed={seed}", *part] for part in held_out]
        composed.append(
            [compose_stages(stages, sizes, [*words_of_seed, *part]) if part else configs for part in held_out]
        )
    if len(slots := own_slots()) > 1 and len(words) > 1:
        check_stages(composed[0][0])
        launch_parts(words, _OF_A_PART, slots)  # their networks and scores are found below
    first, in_turn = composed[0][0], len(composed[0]) > 1
    kinds = {stage: _kind(config) for stage, config in first.items()}
    results: list[dict[str, Path]] = []  # of every seed; of several folds pooled
    evaluated: list[dict[str, Path]] = []  # of every seed and fold
    time_left = TimeLeft([configs for of_seed in composed for configs in of_seed])
    for of_seed in composed:
        of_folds = []
        for number, configs in enumerate(of_seed, start=1):
            if in_turn:
                log.info(f"\nHeld out: {_held_out(configs)} ({number} of {len(of_seed)})")
            of_folds.append(run_pipeline(configs, time_left))
            if is_first_process():
                _score_worse_conditions(configs, of_folds[-1], robustness_of)
        if not is_first_process():
            continue
        evaluated += of_folds
        result = (
            {stage: pool([one[stage].parents[2] for one in of_folds]) for stage in stages} if in_turn else of_folds[0]
        )
        results.append(result)
        log.info("\n%s\n\nFiles", _table(table, kinds, [result]))
        for stage, metrics in result.items():
            checkpoints = [one[stage].parents[2] / BEST for one in of_folds]
            log.info("  %s", "\n  ".join(map(str, [*checkpoints, metrics, metrics.with_name(PREDICTIONS)])))
    if len(results) > 1:
        log.info("\n%s", _table(table, kinds, results))
    if not results:
        return None
    for one in evaluated:
        _warn_of_answers(kinds, one)
    chosen = score or list(stages)[-1]
    answer, config = results[-1][chosen], composed[-1][-1][chosen]
    log.info("\n%s", conclusion(answer))
    name = json.loads(answer.read_text(encoding="utf-8"))["of"]["data"]["name"]
    if page is not None:
        page = _report(Path(config.runs), page)
    own = name.removesuffix(city_in_name(config.data.leave_out_city)) in OWN_DATA
    log.info("\n%s", next_commands(evaluated[-1][chosen].parents[2], page, own))
    return report_score(*(one[chosen].parents[2] for one in evaluated))


def _held_out_in_turn(configs: Mapping[str, TrainConfig], folds: int | None) -> list[list[str]]:
    """Overrides of the stages for each fold, or city, that is held out in turn; one empty list where none is. All are
    drawn here, so that what cannot be is known before the first training."""
    if folds is None and all(config.data.leave_out_city != ALL for config in configs.values()):
        return [[]]
    held_out = []
    for config in configs.values():
        source: DataSource = build(config.data.source, "data_source")
        source.prepare()
        held_out.append(parts(source.manifest(), config.data, folds))
    if any(one != held_out[0] for one in held_out):
        raise ConfigError(
            "The stages hold out different parts of their data in turn",
            "All stages have the same data set and the same data.leave_out_city",
            "Give keys of data for all stages, and not for one alone",
        )
    return held_out[0]


def _held_out(configs: Mapping[str, TrainConfig]) -> str:
    data = next(iter(configs.values())).data
    return data.leave_out_city or f"fold {data.held_out} of {data.folds}"


def _score_worse_conditions(
    configs: Mapping[str, TrainConfig], result: Mapping[str, Path], stages: Sequence[str]
) -> None:
    for stage in stages:
        log.info("Worse conditions: %s", stage)
        config = configs[stage]
        robustness(str(result[stage].parents[2]), store=config.store, device=_device(config))


def run_pipeline(configs: Mapping[str, TrainConfig], time_left: TimeLeft | None = None) -> dict[str, Path]:
    """Train every stage, or find it trained, and evaluate it: experiment -> config, to experiment -> metrics.json of
    its test fold. The other processes of a distributed run only train, and get nothing."""
    check_stages(configs)
    time_left = time_left or TimeLeft([configs])
    latest: dict[str, Path] = {}
    runs: dict[str, Path] = {}
    for number, (stage, config) in enumerate(configs.items(), start=1):
        log.info(f"\n[{number}/{len(configs)}] {stage}, seed {config.seed}")
        started = time.monotonic()
        for kind, run in latest.items():
            if getattr(config.init_from, kind, None) == PREVIOUS:
                setattr(config.init_from, kind, str(run))
        trained = train(config)
        assert trained is not None  # without trainer.fast_dev_run
        runs[stage] = latest[_kind(config)] = trained
        taken = time_in_words(time.monotonic() - started)
        log.info(f"[{number}/{len(configs)}] {stage} took {taken}{time_left.after(stage, trained)}")
    if not is_first_process():
        return {}
    log.info("\nEvaluating on the validation and test folds")
    started, results = time.monotonic(), {}
    for stage, run in runs.items():
        store, device = configs[stage].store, _device(configs[stage])
        evaluate(str(run), fold="validation", store=store, device=device)
        results[stage] = evaluate(str(run), fold="test", store=store, device=device)
    log.info(f"The evaluation took {time_in_words(time.monotonic() - started)}")
    return results


def check_stages(configs: Mapping[str, TrainConfig]) -> None:
    """Refuse, with a ConfigError, stages that cannot follow one another; what is wrong with a later one's weights is
    said before the first one trains."""
    if any(config.trainer.get("fast_dev_run") for config in configs.values()):
        raise ConfigError(
            "trainer.fast_dev_run is given to a pipeline",
            "It leaves no run, from which the next stage could start",
            "Try the stages out one by one: sedcrnn train experiment=<stage> debug=fast_dev_run",
        )
    processes = {stage: count_processes(config.trainer) for stage, config in configs.items()}
    if len(set(processes.values())) > 1:  # but stages follow one another in the same ones
        listed = ", ".join(f"{stage}: {number}" for stage, number in processes.items())
        raise ConfigError(
            f"The stages train with different numbers of processes ({listed})",
            "trainer.devices and trainer.num_nodes are the same for all stages of a pipeline",
            "Make them so, or train the stages one by one with sedcrnn train",
        )
    for config in configs.values():
        load_encoders(config)


def compose_stages(
    stages: Mapping[str, list[str]], sizes: Mapping[str, list[str]], overrides: Sequence[str]
) -> dict[str, TrainConfig]:
    """The checked configs of the stages: `overrides`, which are for every stage, win over the sizes of a kind and of a
    class of network, and what is for a stage alone wins over all."""
    composed = {}
    for stage, own in stages.items():
        experiment = f"experiment={stage}"
        found = network_class(checked(compose("train", [experiment])).model["network"]) if sizes else None
        of_network = [*sizes.get(found.kind, []), *sizes.get(found.__name__, [])] if found else []
        of_stage = sizes.get(stage, []) if found and stage != found.kind else []
        given = [*of_network, *overrides, *of_stage, *own]
        composed[stage] = checked(compose("train", [experiment, *given]))
    return composed


def _kind(config: TrainConfig) -> str:
    return network_class(config.model["network"]).kind


def _device(config: TrainConfig) -> str:
    """Where it was trained, and what its frozen parts made of the clips is stored."""
    return "cuda" if on_gpu(config.trainer["accelerator"]) else "cpu"


def _report(runs: Path, page: Path) -> Path | None:
    """The page of all runs in a folder; what stands in its way is said, and takes nothing from the runs."""
    try:
        write_report(runs, None, None, [], False, page)
    except SedcrnnError as error:
        log.warning("The report was not written. %s", error)
        return None
    return page


def _warn_of_answers(kinds: Mapping[str, str], result: Mapping[str, Path]) -> None:
    """Warn of networks of several heads that others outdo: their own, or the networks of one modality before them."""
    singles: dict[str, Path] = {}
    for stage, metrics in result.items():
        if kinds[stage] in SINGLE:
            singles[kinds[stage]] = metrics
        else:
            for warning in answer_warnings(metrics, list(singles.values())):
                log.warning(warning)


def _table(table: str, kinds: Mapping[str, str], results: Sequence[Mapping[str, Path]]) -> str:
    """Results by seed, one or more -> a row per stage, or per head of the last network of each kind."""
    if table == "stages":
        return stages_grid(results).text()
    last = {kind: stage for stage, kind in kinds.items()}.values()
    return heads_grid([[metrics for stage, metrics in result.items() if stage in last] for result in results]).text()
