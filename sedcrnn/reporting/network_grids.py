"""Tables -> grids of what networks are like beside their scores: calibrated, robust, large, slow."""

from collections.abc import Callable, Sequence
from typing import Any

from sedcrnn.evaluation.metrics import MACRO_ACCURACY, MACRO_LOG_LOSS
from sedcrnn.reporting.calibration import BINS
from sedcrnn.reporting.grids import NOTHING, Grid, spread_text
from sedcrnn.reporting.results_tables import LEVELS
from sedcrnn.reporting.rows import Row, Table
from sedcrnn.reporting.scoring import BRIER, CALIBRATION_ERROR, SCALED_CALIBRATION_ERROR, SCALED_LOG_LOSS, ScoredRun


def calibration_grid(table: Table) -> Grid:
    """Log loss before and after temperature scaling, Brier score and calibration error."""
    rows, reasons = [], set()
    for row in table.rows:
        if not row.runs:
            continue
        temperatures = [run.temperature for run in row.runs.values() if run.temperature is not None]
        reasons |= {f"{row.label}, seed {s}: {r.no_temperature}" for s, r in row.runs.items() if r.no_temperature}

        def cell(level: str, score: str, row: Row = row) -> str:
            return spread_text(row.values(level, score), 1, 3)

        rows.append(
            (
                row.label,
                f"{spread_text(temperatures, 1, 2)}\nn = {len(temperatures)}",
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
                spread_text([told["milliseconds"] for told in latencies], 1, 1),
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

    def cell(found: list[tuple[str, dict[str, Any]]], condition: str) -> str:
        scores = [said["conditions"].get(condition, {}).get(head) for head, said in found]
        rises = [said.get("confidence_rises", {}).get(condition, {}).get(head) for head, said in found]
        scores, rises = [one for one in scores if one], [one for one in rises if one is not None]
        if not scores:
            return NOTHING
        accuracy = spread_text([one[MACRO_ACCURACY] for one in scores], 100, 1)
        lines = [accuracy, f"log loss {spread_text([one[MACRO_LOG_LOSS] for one in scores], 1, 3)}"]
        return "\n".join([*lines, f"surer in {spread_text(rises, 100, 0)} %"] if rises else lines)

    columns = ("", *(f"{label} (n={len(found)})" for label, found in told.items()))
    rows = tuple((condition, *(cell(found, condition) for found in told.values())) for condition in conditions)
    notes = (
        "Accuracy % on 1-s windows, mean ± standard deviation over n seeds. Surer: the share of windows whose "
        "likeliest scene becomes more probable although something is missing.",
    )
    return Grid("Missing and corrupted inputs", columns, rows, notes)


def batch_grid(table: Table) -> Grid | None:
    """Whether predictions depend on the batch that they are made in, where that was tried; see `Run.robustness`."""
    rows = []
    for row in table.rows:
        told = [run.run.robustness() for run in row.runs.values() if run.is_answer]
        found = [one["batch_invariance"]["largest_difference"] for one in told if one is not None]
        if found:
            rows.append((row.label, f"{max(found):.1e}", str(len(found))))
    note = "The largest difference of any probability between batches of other sizes and orders, over seeds."
    columns = ("", "largest difference", "n")
    return Grid("Dependence on the batch", columns, tuple(rows), (note,)) if rows else None


def _same(runs: Sequence[ScoredRun], told: Callable[[ScoredRun], str]) -> str:
    """What all runs say; all that they say where they differ."""
    return " / ".join(dict.fromkeys(map(told, runs))) or NOTHING


def _metrics(run: ScoredRun) -> dict[str, Any]:
    assert run.run.metrics is not None
    return run.run.metrics
