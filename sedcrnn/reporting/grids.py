"""Tables -> captioned grids of text: the same cells on the page and in the README.

A line break in a cell parts a figure from what stands under it, smaller: its interval, or why it is missing.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sedcrnn.evaluation.intervals import REPLICATES
from sedcrnn.evaluation.metrics import MACRO_ACCURACY, MACRO_LOG_LOSS
from sedcrnn.evaluation.prediction import AGGREGATOR
from sedcrnn.evaluation.table import LEVELS, interval_text
from sedcrnn.reporting.calibration import BINS
from sedcrnn.reporting.comparison import Comparison, compare, fusion_gain
from sedcrnn.reporting.rows import Row, Table, mean_and_spread
from sedcrnn.reporting.scoring import BRIER, CALIBRATION_ERROR, SCALED_CALIBRATION_ERROR, SCALED_LOG_LOSS, ScoredRun
from sedcrnn.scenes import TAU_SCENES

NOTHING = "-"
MISSING = "missing"
SCORES = {MACRO_ACCURACY: (100.0, 1, "accuracy %"), MACRO_LOG_LOSS: (1.0, 3, "log loss")}
"""Score -> what it is multiplied with, its decimals, and its name in headings."""


@dataclass(frozen=True)
class Grid:
    """A table of text.

    Attributes:
        title: above it.
        columns: headings; the first is that of the rows' labels.
        rows: cells, the label first.
        notes: under it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


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
        cells.append((row.label, *told, _spread(list(gains.values()), 100, 1, sign="+"), str(len(gains))))
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


def calibration_grid(table: Table) -> Grid:
    """Log loss before and after temperature scaling, Brier score and calibration error."""
    rows, reasons = [], set()
    for row in table.rows:
        if not row.runs:
            continue
        temperatures = [run.temperature for run in row.runs.values() if run.temperature is not None]
        reasons |= {f"{row.label}, seed {s}: {r.no_temperature}" for s, r in row.runs.items() if r.no_temperature}

        def cell(level: str, score: str, row: Row = row) -> str:
            return _spread(row.values(level, score), 1, 3)

        rows.append(
            (
                row.label,
                f"{_spread(temperatures, 1, 2)}\nn = {len(temperatures)}",
                *(cell(level, score) for level in LEVELS for score in (MACRO_LOG_LOSS, SCALED_LOG_LOSS)),
                cell("window", BRIER),
                cell("window", CALIBRATION_ERROR),
                cell("window", SCALED_CALIBRATION_ERROR),
            )
        )
    log_losses = [f"log loss{when}, {LEVELS[level]}" for level in LEVELS for when in ("", " scaled")]
    columns = ("", "temperature", *log_losses, "Brier, 1-s window", "ECE, 1-s window", "ECE scaled, 1-s window")
    notes = [
        "One temperature per run and head, fitted on the windows of the validation fold only. Scaled: after it. What "
        "the log loss loses by it is calibration loss.",
        f"Brier: squared distance summed over scenes, 0 to 2. ECE: {BINS} bins of equal width; a diagnostic, no score.",
    ]
    if reasons:
        notes.append(f"No temperature: {'; '.join(sorted(reasons))}.")
    return Grid("Calibration", columns, tuple(rows), tuple(notes))


def cost_grid(table: Table) -> Grid:
    """Parameters, multiply-accumulates and latency."""
    rows, places = [], set()
    for row in table.rows:
        runs = list(row.runs.values())
        if not runs:
            continue
        answers = [run for run in runs if run.is_answer]
        latencies = [told for run in answers if (told := run.run.latency()) is not None]
        places |= {f"{told['device']}, threads: {told['threads']}" for told in latencies}
        rows.append(
            (
                row.label,
                _same(runs, lambda run: f"{_metrics(run)['heads'][run.head]['parameters']:,}"),
                _same(answers, lambda run: f"{_metrics(run)['cost']['trainable_parameters']:,}"),
                _same(answers, lambda run: f"{_metrics(run)['cost']['multiply_accumulates_per_second'] / 1e9:.2f}"),
                _spread([told["milliseconds"] for told in latencies], 1, 1),
            )
        )
    columns = ("", "parameters", "trained in its stage", "GMAC per second of scene", "latency, ms")
    notes = [
        "Parameters as Keras counts and the paper: with batch normalisation's statistics. Those that a run's own stage "
        "trained, and the work and time of a network, are its answer's; a head inside it has none of its own.",
        "Latency: median of repeated passes of one window, from features in memory; mean over seeds"
        + (f". Measured on: {'; '.join(sorted(places))}." if places else "."),
    ]
    return Grid("Cost", columns, tuple(rows), tuple(notes))


def class_grid(table: Table) -> Grid:
    """Accuracy of every scene on windows."""
    rows = [
        (
            row.label,
            *(
                _spread([run.levels["window"].class_wise[scene] for run in row.runs.values()], 100, 1)
                for scene in table.example.scenes
            ),
        )
        for row in table.rows
        if row.runs
    ]
    columns = ("", *(scene.replace("_", " ") for scene in table.example.scenes))
    return Grid("Accuracy % by scene, 1-s windows", columns, tuple(rows), ("Mean ± standard deviation over seeds.",))


def robustness_grid(table: Table) -> Grid | None:
    """Scores under missing and corrupted inputs, where they were evaluated; see `Run.robustness`."""
    told = {
        row.label: found
        for row in table.rows
        if (found := [(run.head, said) for run in row.runs.values() if (said := run.run.robustness()) is not None])
    }
    conditions = dict.fromkeys(name for found in told.values() for _, said in found for name in said["conditions"])
    if not conditions:
        return None

    def cell(found: list, condition: str) -> str:  # type: ignore[type-arg]
        scores = [said["conditions"].get(condition, {}).get(head) for head, said in found]
        rises = [said.get("confidence_rises", {}).get(condition, {}).get(head) for head, said in found]
        scores, rises = [one for one in scores if one], [one for one in rises if one is not None]
        if not scores:
            return NOTHING
        accuracy = _spread([one[MACRO_ACCURACY] for one in scores], 100, 1)
        rest = [f"log loss {_spread([one[MACRO_LOG_LOSS] for one in scores], 1, 3)}", f"n = {len(scores)}"]
        rest += [f"surer in {_spread(rises, 100, 0)} %"] if rises else []
        return f"{accuracy}\n{', '.join(rest)}"

    rows = tuple((label, *(cell(found, name) for name in conditions)) for label, found in told.items())
    notes = (
        "Accuracy % on 1-s windows, mean ± standard deviation over n seeds. Surer: the share of windows whose "
        "likeliest scene becomes more probable although something is missing.",
    )
    return Grid("Missing and corrupted inputs", ("", *conditions), rows, notes)


def batch_grid(table: Table) -> Grid | None:
    """Whether predictions depend on the batch that they are made in, where evaluation told it.

    metrics.json then holds {"batch_invariance": {"largest_difference": 1e-7}}: of any probability, between batches of
    other sizes and orders.
    """
    rows = []
    for row in table.rows:
        told = [_metrics(run).get("batch_invariance") for run in row.runs.values() if run.is_answer]
        found = [one["largest_difference"] for one in told if one is not None]
        if found:
            rows.append((row.label, f"{max(found):.1e}", str(len(found))))
    note = "The largest difference of any probability between batches of other sizes and orders, over seeds."
    columns = ("", "largest difference", "n")
    return Grid("Dependence on the batch", columns, tuple(rows), (note,)) if rows else None


def _scored(row: Row, level: str, score: str, scale: float, digits: int) -> str:
    interval = interval_text(row.interval(level, score), scale, digits)
    return f"{_spread(row.values(level, score), scale, digits)}\n{interval}"


def _seeds(row: Row, table: Table) -> str:
    """How many of the seeds there are, and what the others lack."""
    if not row.missing:
        return str(len(row.runs))
    reasons: dict[str, list[str]] = {}
    for seed, reason in row.missing.items():
        reasons.setdefault(reason, []).append(str(seed))
    told = "; ".join(f"{reason}: {', '.join(seeds)}" for reason, seeds in reasons.items())
    return f"{len(row.runs)} of {len(table.seeds)}\n{told}"


def _spread(values: Sequence[float], scale: float, digits: int, sign: str = "") -> str:
    """`56.1 ± 2.4`; one value has no spread, and none, or that of a scene without examples, is a dash."""
    if not values or any(map(math.isnan, values)):
        return NOTHING
    middle, spread = mean_and_spread(values)
    return f"{scale * middle:{sign}.{digits}f}" + ("" if spread is None else f" ± {scale * spread:.{digits}f}")


def _same(runs: Sequence[ScoredRun], told: Callable[[ScoredRun], str]) -> str:
    """What all runs say; all that they say where they differ."""
    return _joined(told(run) for run in runs) or NOTHING


def _joined(values: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(values))


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _takes_both(run: ScoredRun) -> bool:
    """Whether its network takes sound and picture."""
    return all(feature is not None for feature in run.run.config["features"].values())


def _metrics(run: ScoredRun) -> dict:  # type: ignore[type-arg]
    assert run.run.metrics is not None
    return run.run.metrics
