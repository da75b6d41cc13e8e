"""Tables -> grids of what rows score: over seeds, by scene, and against each other."""

import math

from sedcrnn.datasets.scenes import TAU_SCENES
from sedcrnn.evaluation.intervals import REPLICATES
from sedcrnn.evaluation.predictions import AGGREGATOR
from sedcrnn.reporting.comparison import Comparison, compare, fusion_gain
from sedcrnn.reporting.grids import MISSING, NOTHING, SCORES, Grid, spread_text
from sedcrnn.reporting.results_tables import LEVELS, interval_text
from sedcrnn.reporting.rows import Row, Table
from sedcrnn.reporting.scoring import ScoredRun


def results_grid(table: Table) -> Grid:
    """Every row's scores over seeds, per window and per clip; on TAU's scenes beside the published ones."""
    beside = table.example.scenes == TAU_SCENES and any(row.published for row in table.rows)
    published = "published" if table.data["name"].startswith("tau") else "published, other data"
    heads = [f"{label}, {LEVELS[level]}" for level in LEVELS for _, _, label in SCORES.values()]
    columns = ["", "seeds", *heads, *beside * [f"{published}: accuracy %", f"{published}: log loss"]]
    rows = []
    for row in table.rows:
        cells = [row.label, _seeds(row, table)]
        for level in LEVELS:
            for score, (scale, digits, _) in SCORES.items():
                cells.append(_scored(row, level, score, scale, digits) if row.runs else MISSING)
        if beside:
            told = row.published
            cells.append(NOTHING if told is None else f"{told.accuracy:.1f}")
            cells.append(NOTHING if told is None or told.log_loss is None else f"{told.log_loss:.3f}")
        rows.append(tuple(cells))
    if table.chance:
        scenes = len(table.example.scenes)
        rows.append(("Chance", NOTHING, *2 * (f"{100 / scenes:.1f}", f"{math.log(scenes):.3f}")))
    notes = [
        "Mean ± standard deviation over training seeds; under it the 95 % interval of the mean from a bootstrap over "
        f"locations ({REPLICATES} times), which is about other places and not about other seeds.",
        f"Accuracy and log loss are means over scenes. A clip's prediction is the {AGGREGATOR}.",
    ]
    if beside:
        notes.append(
            "Published: arXiv 2107.13180 on 1-s windows of TAU Urban Audio-Visual Scenes 2021, development test fold, "
            "which also selected its checkpoints; one run."
        )
    return Grid("Scores", tuple(columns), tuple(rows), tuple(notes))


def gain_grid(table: Table) -> Grid | None:
    """What fusion gains over the best single modality, by seed; None where the table names no single modality."""
    rows = [row for row in table.rows if row.runs and all(_takes_both(run) for run in row.runs.values())]
    if not table.single_modality or not rows:
        return None
    cells = []
    for row in rows:
        gains = fusion_gain(table, row)
        told = [f"{100 * gains[seed]:+.1f}" if seed in gains else MISSING for seed in table.seeds]
        cells.append((row.label, *told, spread_text(list(gains.values()), 100, 1, sign="+"), str(len(gains))))
    singles = ", ".join(row.label for row in table.single_modality)
    columns = ("", *(f"seed {seed}" for seed in table.seeds), "mean", "n")
    note = (
        f"Points of accuracy on 1-s windows over the best of: {singles}; with the same seed, chosen on the test fold."
    )
    return Grid("Gain of fusion over the best single modality", columns, tuple(cells), (note,))


def comparison_grid(table: Table) -> Grid | None:
    """Every row against the reference row; None where there is none."""
    compared = compare(table)
    if table.reference is None or not compared:
        return None

    def difference(one: Comparison, level: str, score: str) -> str:
        scale, digits, _ = SCORES[score]
        found = one.differences[level, score]
        low, high = (f"{scale * bound:+.{digits}f}" for bound in found.interval)
        return f"{scale * found.value:+.{digits}f}\n{low} to {high}"

    rows = [
        (
            one.row.label,
            str(len(one.seeds)),
            *(difference(one, level, score) for level in LEVELS for score in SCORES),
            _p_value(one.bootstrap),
            "\n".join([_p_value(one.mcnemar), ", ".join(f"{d.row}:{d.reference}" for d in one.discordances)]),
        )
        for one in compared
    ]
    heads = [f"{label}, {LEVELS[level]}" for level in LEVELS for _, _, label in SCORES.values()]
    notes = (
        "Mean difference over the seeds that both rows have, with its 95 % interval from a paired bootstrap over "
        "locations. p, bootstrap: of the accuracy on 1-s windows.",
        "p, McNemar: mid-p per clip, not per window, since windows of a clip are not independent; clips of a location "
        "are not quite either, so it stands second. Under it, seed by seed, the clips that the row alone and the "
        "reference alone has right. Seeds are combined by Rueger's rule. Both p are Holm-corrected over the "
        f"{len(rows)} comparisons of this table.",
    )
    columns = ("", "seeds", *heads, "p, bootstrap", "p, McNemar")
    return Grid(f"Difference from: {table.reference.label}", columns, tuple(rows), notes)


def class_grid(table: Table) -> Grid:
    """Accuracy of every scene on windows."""
    rows = [
        (
            row.label,
            *(
                spread_text([run.levels["window"].class_wise[scene] for run in row.runs.values()], 100, 1)
                for scene in table.example.scenes
            ),
        )
        for row in table.rows
        if row.runs
    ]
    columns = ("", *(scene.replace("_", " ") for scene in table.example.scenes))
    return Grid("Accuracy % by scene, 1-s windows", columns, tuple(rows), ("Mean ± standard deviation over seeds.",))


def _scored(row: Row, level: str, score: str, scale: float, digits: int) -> str:
    interval = interval_text(row.interval(level, score), scale, digits)
    return f"{spread_text(row.values(level, score), scale, digits)}\n{interval}"


def _seeds(row: Row, table: Table) -> str:
    """How many of the seeds there are, and what the others lack."""
    if not row.missing:
        return str(len(row.runs))
    reasons: dict[str, list[str]] = {}
    for seed, reason in row.missing.items():
        reasons.setdefault(reason, []).append(str(seed))
    told = (f"{reason}: {', '.join(seeds)}" for reason, seeds in reasons.items())
    return "\n".join([f"{len(row.runs)} of {len(table.seeds)}", *told])


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _takes_both(run: ScoredRun) -> bool:
    """Whether its network takes sound and picture."""
    return all(feature is not None for feature in run.run.config["features"].values())
