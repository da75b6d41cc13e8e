"""metrics.json files -> a table of heads, on TAU's scenes beside the paper's figures; over seeds, mean and spread."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from sedcrnn.datasets.scenes import TAU_SCENES
from sedcrnn.evaluation.metrics import MACRO_ACCURACY, MACRO_LOG_LOSS


@dataclass(frozen=True)
class Published:
    """Figures of arXiv 2107.13180 on 1-s windows of the TAU 2021 development test fold, which also selected the
    checkpoints (paper.md, Published results).

    Attributes:
        accuracy: mean of class accuracies, in percent.
        log_loss: mean of class-wise log losses; None: not published.
        parameters: None: not published.
    """

    accuracy: float
    log_loss: float | None
    parameters: int | None


PUBLISHED = {
    "audio": Published(69.0, 0.969, 323_274),
    "visual": Published(87.0, 0.616, 14_820_170),
    "early": Published(89.2, None, None),
    "late": Published(90.0, 0.556, 15_416_148),
}
SINGLE = ("audio", "visual")
LABELS = {"audio": "audio", "visual": "visual", "early": "early fusion", "late": "late fusion"}
LEVELS = {"window": "1-s window", "clip": "clip"}


def results_table(metrics: Iterable[Path]) -> str:
    """One row per head of some evaluated runs, with what must be known to read it; for the scenes of TAU 2021, beside
    the published figures."""
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in metrics]
    heads = _heads(reports)
    of = reports[0]["of"]
    # Figures on ten scenes say nothing about another set of scenes.
    beside = all(tuple(scored["window"]["class_wise"]) == TAU_SCENES for scored in heads.values())
    lines = [
        f"{'':14}{'this run: ' + of['data']['name'] + ', ' + of['fold'] + ' fold':^40}"
        + beside * f"{'published: TAU 2021, not comparable':^40}",
        f"{'':14}" + (1 + beside) * f"{'accuracy %':>12}{'log loss':>12}{'parameters':>16}",
    ]
    for head, scored in heads.items():
        scores, told = scored["window"], PUBLISHED[head]
        ours = _cells(100 * scores[MACRO_ACCURACY], scores[MACRO_LOG_LOSS], scored["parameters"])
        lines.append(f"{LABELS[head]:14}{ours}{beside * _cells(told.accuracy, told.log_loss, told.parameters)}")
    windows = {scored["window"]["examples"] for scored in heads.values()}
    selections = {report["selection"] for report in reports}
    lines += [
        "",
        f"Accuracy and log loss are means over scenes, on {' and '.join(map(str, sorted(windows)))} windows of 1 s.",
        f"Checkpoints of this run were selected by: {' and '.join(sorted(selections))}.",
    ]
    if beside:
        lines += [
            "Published: arXiv 2107.13180, on TAU Urban Audio-Visual Scenes 2021 (development test fold, which also",
            "selected its checkpoints): another, real data set.",
        ]
    return "\n".join(lines)


def intervals_table(metrics: Path) -> str:
    """One row per head and level of an evaluated run, with the 95 % intervals of its scores."""
    heads = _heads([json.loads(metrics.read_text(encoding="utf-8"))])
    lines = [
        f"{'':28}{'accuracy with 95 % intervals':^36}{'log loss with 95 % interval':^28}",
        f"{'':28}{'%':>10}{'as DCASE':>13}{'locations':>13}{'':14}{'locations':>14}",
    ]
    for head, scored in heads.items():
        for level, label in LEVELS.items():
            scores, intervals = scored[level], scored[level]["intervals"]
            lines.append(
                f"{LABELS[head] + ', per ' + label:28}{100 * scores[MACRO_ACCURACY]:>10.1f}"
                f"{interval_text(intervals['published'][MACRO_ACCURACY], 100, 1):>13}"
                f"{interval_text(intervals['locations'][MACRO_ACCURACY], 100, 1):>13}"
                f"{scores[MACRO_LOG_LOSS]:>14.3f}"
                f"{interval_text(intervals['locations'][MACRO_LOG_LOSS], 1, 3):>14}"
            )
    drawn = next(iter(heads.values()))["window"]["intervals"]["locations"]
    lines += [
        "",
        "As DCASE: +- 1.96 sqrt(p (1 - p) / n), which takes windows and clips for independent of each other.",
        f"Locations: bootstrap over {drawn['locations']} locations with all their clips, {drawn['replicates']} times.",
    ]
    return "\n".join(lines)


def spread_table(results: Sequence[Sequence[Path]]) -> str:
    """Mean and standard deviation of each head over seeds, and what fusion gains over the better single modality.

    Args:
        results: the metrics.json files of each seed, two or more.
    """
    seeds = [_heads([json.loads(path.read_text(encoding="utf-8")) for path in metrics]) for metrics in results]
    lines = [f"{len(seeds)} seeds{'':7}{'accuracy %, mean and SD':>26}{'log loss, mean and SD':>26}"]
    for head in seeds[0]:
        accuracy = [100 * heads[head]["window"][MACRO_ACCURACY] for heads in seeds]
        log_loss = [heads[head]["window"][MACRO_LOG_LOSS] for heads in seeds]
        lines.append(
            f"{LABELS[head]:14}{mean(accuracy):>18.1f} +- {stdev(accuracy):4.1f}"
            f"{mean(log_loss):>18.3f} +- {stdev(log_loss):.3f}"
        )
    for head in (head for head in ("early", "late") if head in seeds[0]):
        gains = [
            100 * (heads[head]["window"][MACRO_ACCURACY] - max(heads[one]["window"][MACRO_ACCURACY] for one in SINGLE))
            for heads in seeds
        ]
        told = " ".join(f"{gain:+.1f}" for gain in gains)
        lines.append(f"{LABELS[head]} over the better single modality, by seed: {told} points")
    return "\n".join(lines)


def stages_table(results: Sequence[Mapping[str, Path]]) -> str:
    """The answer of each stage's network on 1-s windows; over seeds, mean and standard deviation.

    Args:
        results: stage -> its metrics.json, for each seed; all have the same stages.
    """
    lines = [f"{len(results)} seed(s){'':22}{'accuracy %':>16}{'log loss':>18}{'parameters':>14}"]
    for stage in results[0]:
        reports = [json.loads(metrics[stage].read_text(encoding="utf-8")) for metrics in results]
        answers = [list(report["heads"].values())[-1] for report in reports]
        accuracy = [100 * answer["window"][MACRO_ACCURACY] for answer in answers]
        log_loss = [answer["window"][MACRO_LOG_LOSS] for answer in answers]
        lines.append(
            f"{stage:31}{_mean_and_spread(accuracy, 1):>16}{_mean_and_spread(log_loss, 3):>18}"
            f"{answers[0]['parameters']:>14,}"
        )
    return "\n".join(lines)


def _mean_and_spread(values: Sequence[float], digits: int) -> str:
    told = f"{mean(values):.{digits}f}"
    return f"{told} +- {stdev(values):.{digits}f}" if len(values) > 1 else told


def _heads(reports: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The heads of some reports, in the order of `LABELS`. One that several have (a subnetwork alone and inside a
    fusion network) is taken from the first, where it was trained as a network of its own."""
    found: dict[str, dict[str, Any]] = {}
    for report in reports:
        found = {**report["heads"], **found}
    return {head: found[head] for head in LABELS if head in found}


def interval_text(bounds: Sequence[float], scale: float, digits: int) -> str:
    """The bounds of an interval, scaled: `59.0-61.0`."""
    low, high = (f"{scale * bound:.{digits}f}" for bound in bounds)
    return f"{low}-{high}"


def _cells(accuracy: float, log_loss: float | None, parameters: int | None) -> str:
    loss = "-" if log_loss is None else f"{log_loss:.3f}"
    count = "-" if parameters is None else f"{parameters:,}"
    return f"{accuracy:>12.1f}{loss:>12}{count:>16}"


def robustness_table(report: Mapping[str, Any]) -> str:
    """The answer's scores under each condition of a robustness.json."""
    lines = [f"{'':28}{'accuracy %':>12}{'log loss':>10}{'surer in %':>12}"]
    for condition, heads in report["conditions"].items():
        answer, scores = list(heads.items())[-1]
        rises = report["confidence_rises"].get(condition)
        surer = f"{100 * rises[answer]:12.0f}" if rises else ""
        lines.append(f"{condition:28}{100 * scores[MACRO_ACCURACY]:12.1f}{scores[MACRO_LOG_LOSS]:10.3f}{surer}")
    difference = report["batch_invariance"]["largest_difference"]
    return "\n".join([*lines, "", f"The same windows in other batches: {difference:.1e} at most."])
