"""metrics.json and robustness.json of some runs -> grids for the terminal: a row per head, stage or condition."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sedcrnn.datasets.clips import TAU_SCENES
from sedcrnn.evaluation.result_names import MACRO_ACCURACY, MACRO_F1, MEAN_PRECISION, MICRO_F1
from sedcrnn.reporting.grids import (
    LEVELS,
    NOTHING,
    PUBLISHED,
    PUBLISHED_NOTE,
    Grid,
    interval_text,
    score_columns,
    scores_of,
    spread_text,
)

SINGLE = ("audio", "visual")
LABELS = {"audio": "audio", "visual": "visual", "early": "early fusion", "late": "late fusion"}

Report = Mapping[str, Any]


def heads_grid(results: Sequence[Sequence[Path]]) -> Grid:
    """A row per head; for the scenes of TAU 2021, beside the published figures.

    Args:
        results: for each seed, the metrics.json files of its networks. A head that several have (a subnetwork alone
            and inside a fusion network) is taken from the first, where it was trained as a network of its own.
    """
    reports = [[json.loads(path.read_text(encoding="utf-8")) for path in files] for files in results]
    seeds = [{head: one for report in reversed(files) for head, one in report["heads"].items()} for files in reports]
    published = all(tuple(head["window"]["class_wise"]) == TAU_SCENES for head in seeds[0].values())
    order = [*(head for head in LABELS if head in seeds[0]), *(head for head in seeds[0] if head not in LABELS)]
    rows = {head: [heads[head] for heads in seeds] for head in order}
    networks = {kind: name for report in reports[0] for kind, name in report.get("networks", {}).items()}
    fusions = [head for head in ("early", "late") if {head, *SINGLE} <= rows.keys() and len(seeds) > 1]
    made = [f"{LABELS[head]}: {networks[head]}" for head in SINGLE if head in networks]
    notes = [f"Networks: {'; '.join(made)}.", *(_gains(head, rows) for head in fusions)]
    return _scores_grid(rows, reports[0], notes if made else notes[1:], published)


def stages_grid(results: Sequence[Mapping[str, Path]]) -> Grid:
    """A row per stage, with the scores of its network's answer.

    Args:
        results: for each seed, stage -> its metrics.json; all have the same stages.
    """
    reports = [
        {stage: json.loads(path.read_text(encoding="utf-8")) for stage, path in files.items()} for files in results
    ]
    rows = {stage: [list(seed[stage]["heads"].values())[-1] for seed in reports] for stage in reports[0]}
    return _scores_grid(rows, list(reports[0].values()), [], published=False)


def _scores_grid(
    rows: Mapping[str, Sequence[Report]], reports: Sequence[Report], notes: Sequence[str], published: bool
) -> Grid:
    """Scores per window and per clip: over seeds as mean and spread, of a single one with their intervals."""
    of, heads = reports[0]["of"], [values[0] for values in rows.values()]
    scores, labelled = scores_of(heads[0]["window"]), MEAN_PRECISION in heads[0]["window"]
    columns = ["", *score_columns(scores), *labelled * [f"F1, {LEVELS[level]}" for level in LEVELS], "parameters"]
    if published:
        where = "published" if of["data"]["name"].startswith("tau") else "published, other data"
        columns += [f"{where}: {name}" for name in ("accuracy %", "log loss", "parameters")]
        notes = [*notes, PUBLISHED_NOTE]
    lines = []
    for name, values in rows.items():
        cells = [_cell(values, level, score) for level in LEVELS for score in scores]
        cells += [_f1(values, level) for level in LEVELS if labelled]
        beside = PUBLISHED.get(name, 3 * (NOTHING,)) if published else ()
        lines.append((LABELS.get(name, name), *cells, f"{values[0]['parameters']:,}", *beside))
    drawn, seeds = heads[0]["window"]["intervals"]["locations"], len(next(iter(rows.values())))
    spread = (
        f"Mean ± standard deviation over {seeds} training seeds."
        if seeds > 1
        else f"Under each score its 95 % interval from a bootstrap over {drawn['locations']} locations with all their "
        f"clips ({drawn['replicates']} times); and as DCASE has it, p +- 1.96 sqrt(p (1 - p) / n), which takes windows "
        "and clips for independent of each other."
    )
    windows = sorted({head["window"]["examples"] for head in heads})
    selections = sorted({report["selection"] for report in reports})
    means = "Mean average precision and log loss" if labelled else "Accuracy and log loss"
    about = (
        f"{means} are means over scenes, on {' or '.join(map(str, windows))} windows of 1 s. "
        f"Checkpoints were selected by: {' and '.join(selections)}."
    )
    title = f"{of['data']['name']}, {of['fold']} fold"
    if pooled := reports[0].get("pooled"):
        title = f"{of['data']['name']}, {pooled} pooled: {of['data']['clips']} clips, each held out once"
        notes = [*notes, *_by_fold(reports)]
    if labelled:
        spread = spread.partition("; and as DCASE")[0].rstrip(".") + "."
        notes = [*notes, "F1: mean over scenes / of all decisions, at the thresholds of the validation fold."]
    return Grid(title, tuple(columns), tuple(lines), (about, spread, *notes))


def _by_fold(reports: Sequence[Report]) -> list[str]:
    """The answer of every fold by itself, of networks that hold out several in turn, with the first seed."""
    return [
        f"{_main(report)[0]} on 1-s windows by fold, {list(report['heads'])[-1]} head: "
        + ", ".join(f"{one['name']}: {_main(one)[1]} ({one['clips']} clips)" for one in report["folds"])
        for report in reports
    ]


def _main(report: Report) -> tuple[str, str]:
    """What the answers of a report are compared by, and its figure on windows."""
    scores = list(report["heads"].values())[-1]["window"]
    if MEAN_PRECISION in scores:
        return "Mean average precision", f"{scores[MEAN_PRECISION]:.3f}"
    return "Accuracy", f"{100 * scores[MACRO_ACCURACY]:.1f} %"


def _f1(values: Sequence[Report], level: str) -> str:
    return " / ".join(spread_text([one[level][score] for one in values], 1, 3) for score in (MACRO_F1, MICRO_F1))


def _cell(values: Sequence[Report], level: str, score: str) -> str:
    scale, digits, _ = scores_of(values[0][level])[score]
    lines = [spread_text([one[level][score] for one in values], scale, digits)]
    if len(values) == 1:
        intervals = values[0][level]["intervals"]
        lines.append(interval_text(intervals["locations"][score], scale, digits))
        if score in intervals["published"]:
            lines.append(f"DCASE {interval_text(intervals['published'][score], scale, digits)}")
    return "\n".join(lines)


def _gains(fusion: str, rows: Mapping[str, Sequence[Report]]) -> str:
    """What a fusion head gains over the better single modality, seed by seed."""
    score, (scale, digits, label) = next(iter(scores_of(rows[fusion][0]["window"]).items()))
    audio, visual, fused = ([one["window"][score] for one in rows[head]] for head in (*SINGLE, fusion))
    gains = [f"{scale * (own - max(singles)):+.{digits}f}" for own, *singles in zip(fused, audio, visual, strict=True)]
    what = "points" if score == MACRO_ACCURACY else f"of {label}"
    return f"{LABELS[fusion]} over the better single modality, by seed: {' '.join(gains)} {what}"


def conditions_grid(report: Report) -> Grid:
    """The answer's scores under each condition of a robustness.json."""
    rows = []
    for condition, heads in report["conditions"].items():
        answer, scores = list(heads.items())[-1]
        rises = report["confidence_rises"].get(condition)
        more_confident = f"{100 * rises[answer]:.0f}" if rises else ""
        shown = scores_of(scores).items()
        figures = (f"{scale * scores[score]:.{digits}f}" for score, (scale, digits, _) in shown)
        rows.append((condition, *figures, more_confident))
    columns = ("", *(label for _, (_, _, label) in shown), "more confident in %")
    notes = (
        f"{answer} head on 1-s windows. More confident in: the share of windows whose likeliest scene becomes more "
        "probable although something is missing.",
        "The same windows in other batches change a probability by "
        f"{report['batch_invariance']['largest_difference']:.1e} at most.",
    )
    return Grid("Missing and corrupted inputs", columns, tuple(rows), notes)
