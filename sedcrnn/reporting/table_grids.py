"""Tables -> grids: what rows score, by scene and against each other, and what their networks are like beside that."""

import math
from collections.abc import Iterable
from typing import Any

import torch

from sedcrnn.datasets.clips import TAU_SCENES
from sedcrnn.evaluation.intervals import REPLICATES
from sedcrnn.evaluation.predictions import AGGREGATOR
from sedcrnn.evaluation.result_names import MACRO_LOG_LOSS, ROBUSTNESS, ROBUSTNESS_SCHEMA_VERSION
from sedcrnn.reporting.collection import FOLD
from sedcrnn.reporting.comparison import Difference, compare, fusion_gain
from sedcrnn.reporting.grids import (
    LEVELS,
    MISSING,
    NOTHING,
    PUBLISHED,
    PUBLISHED_NOTE,
    Grid,
    interval_text,
    score_columns,
    spread_text,
)
from sedcrnn.reporting.scoring import BINS, BRIER, CALIBRATION_ERROR, SCALED_CALIBRATION_ERROR, SCALED_LOG_LOSS
from sedcrnn.reporting.tables import Row, Table

SIGNIFICANT = 0.05  # the p-value under which readers take a difference for one


def results_grid(table: Table) -> Grid:
    """Every row's scores over seeds, per window and per clip; on TAU's scenes beside the published ones."""
    scenes = table.runs[0].scenes
    beside = scenes == TAU_SCENES and any(row.spec.published for row in table.rows)
    published = "published" if table.data["name"].startswith("tau") else "published, other data"
    columns = [
        "",
        "seeds",
        *score_columns(table.scores),
        *beside * [f"{published}: accuracy %", f"{published}: log loss"],
    ]
    rows = []
    for row in table.rows:
        cells = [_score(row, level, score, table) for level in LEVELS for score in table.scores]
        own = PUBLISHED[row.spec.published][:2] if row.spec.published else 2 * (NOTHING,)
        rows.append((row.label, _seeds(row, table), *cells, *beside * own))
    if table.spec.chance:
        chance = _chance(table)
        rows.append(("Chance", NOTHING, *2 * chance, *beside * 2 * (NOTHING,)))
    several = table.several_seeds
    notes = [
        *several * ["Mean ± standard deviation over training seeds, where there are several."],
        f"Under each figure its 95 % interval from a bootstrap over locations ({REPLICATES} times), which is about "
        f"other places{several * ' and not about other seeds'}.",
        f"{table.main_in_words} and log loss are means over scenes. A clip's prediction is the {AGGREGATOR}.",
        "Log losses are raw, of probabilities as the networks give them; the report's page has calibrated ones, too.",
        *beside * [PUBLISHED_NOTE],
    ]
    return Grid("Scores", tuple(columns), tuple(rows), tuple(notes))


def _chance(table: Table) -> tuple[str, str]:
    """What guessing scores: one of all scenes, or each scene as often as it is there."""
    if not table.multi_label:
        number = len(table.runs[0].scenes)
        return f"{100 / number:.1f}", f"{math.log(number):.3f}"
    often = table.runs[0].levels["window"].scene.double().mean(0)
    log_loss = -(torch.xlogy(often, often) + torch.xlogy(1 - often, 1 - often)).mean()
    return f"{often.mean():.3f}", f"{log_loss:.3f}"


def folds_grid(table: Table) -> Grid | None:
    """Every row's main score on each fold, or city, by itself; None where results are not pooled."""
    folds = table.runs[0].run.folds
    if not folds:
        return None
    scale, digits, label = table.scores[table.main_score]
    rows = []
    for row in table.rows:
        by_run = [[fold["heads"][run.head] for fold in run.run.metrics["folds"]] for run in row.runs.values()]
        cells = [
            spread_text([one["window"][table.main_score] for one in fold], scale, digits)
            for fold in zip(*by_run, strict=True)
        ]
        rows.append((row.label, *cells))
    columns = ("", *(f"{fold['name']} ({fold['clips']} clips)" for fold in folds))
    note = (
        "Each fold is held out by a network of its own, with a temperature of its own. All other scores are of all "
        "predictions together, not means of these; a temperature is the mean of the folds'."
    )
    return Grid(f"{label[0].upper()}{label[1:]} by fold, 1-s windows", columns, tuple(rows), (note,))


def _score(row: Row, level: str, score: str, table: Table) -> str:
    scale, digits, _ = table.scores[score]
    interval = interval_text(row.interval(level, score), scale, digits)
    return f"{spread_text(row.values(level, score), scale, digits)}\n{interval}"


def _seeds(row: Row, table: Table) -> str:
    """The number of seeds, and those that were asked for and are not there."""
    if not row.missing:
        return str(len(row.runs))
    return f"{len(row.runs)} of {len(table.seeds)}\n{MISSING}: {', '.join(map(str, row.missing))}"


def gain_grid(table: Table) -> Grid | None:
    """What fusion gains over the best single modality, by seed; None where the table names no single modality."""
    singles, several, rows = table.single_modality, len(table.seeds) > 1, []
    scale, digits, label = table.scores[table.main_score]
    for row in table.rows if singles else []:
        if row.takes_both:
            gains = fusion_gain(table, row)
            by_seed = [f"{scale * gains[seed]:+.{digits}f}" if seed in gains else MISSING for seed in table.seeds]
            over_seeds = spread_text([*gains.values()], scale, digits, sign="+"), str(len(gains))
            rows.append((row.label, *by_seed, *several * over_seeds))
    columns = ("", *(f"seed {seed}" for seed in table.seeds), *several * ("mean", "n"))
    note = (
        f"{label.capitalize() if table.multi_label else 'Points of accuracy'} on 1-s windows over the best of: "
        f"{', '.join(row.label for row in singles)}; with the same "
        "seed, chosen on the test fold."
    )
    return Grid("Gain of fusion over the best single modality", columns, tuple(rows), (note,)) if rows else None


def comparison_grid(table: Table) -> Grid | None:
    """Every row against the reference row; None where there is none."""
    compared, reference = compare(table), table.reference
    if reference is None or not compared:
        return None
    rows = []
    for row, seeds, differences, discordances, bootstrap, mcnemar in compared:
        cells = [_difference(differences[level, score], score, table) for level in LEVELS for score in table.scores]
        by_seed = ", ".join(f"{own}:{others}" for own, others in discordances)
        p_values = _p_value(bootstrap), f"{_p_value(mcnemar)}\n{by_seed}"
        rows.append((row.label, str(len(seeds)), *cells, *p_values))
    smallest = len(rows) * 2 / (REPLICATES + 1)
    notes = (
        ("Mean difference over the seeds that both rows have" if table.several_seeds else "Difference")
        + ", with its 95 % interval from a paired bootstrap over locations. p, bootstrap: of the "
        f"{table.main_in_words.lower()} on 1-s windows.",
        "p, McNemar: mid-p per clip, not per window, since windows of a clip are not independent; clips of a location "
        "are not quite either, so it stands second. Under it, seed by seed, the clips that the row alone and the "
        f"reference alone has right{' in every scene' * table.multi_label}. "
        + "Seeds are combined by Rueger's rule. " * table.several_seeds
        + f"Both p are Holm-corrected over the {len(rows)} comparisons of this table.",
        *(smallest >= SIGNIFICANT)
        * [
            f"With {REPLICATES:,} draws the smallest p of the bootstrap is 2/{REPLICATES + 1:,}, and {smallest:.3f} "
            f"after Holm's correction over {len(rows)} comparisons: none in this table can fall under {SIGNIFICANT}."
        ],
    )
    columns = ("", "seeds", *score_columns(table.scores), "p, bootstrap", "p, McNemar")
    return Grid(f"Difference from: {reference.label}", columns, tuple(rows), notes)


def _difference(found: Difference, score: str, table: Table) -> str:
    scale, digits, _ = table.scores[score]
    value, low, high = (f"{scale * number:+.{digits}f}" for number in (found.value, *found.interval))
    return f"{value}\n{low} to {high}"


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def calibration_grid(table: Table) -> Grid:
    """Log loss before and after temperature scaling, Brier score and calibration error."""
    scores = [(level, score) for level in LEVELS for score in (MACRO_LOG_LOSS, SCALED_LOG_LOSS)]
    scores += [("window", score) for score in (BRIER, CALIBRATION_ERROR, SCALED_CALIBRATION_ERROR)]
    rows, reasons = [], set()
    for row in table.rows:
        temperatures = [run.temperature for run in row.runs.values() if run.temperature is not None]
        reasons |= {f"{row.label}, seed {s}: {r.no_temperature}" for s, r in row.runs.items() if r.no_temperature}
        cells = [spread_text(row.values(*score), 1, 3) for score in scores]
        number = f"\nn = {len(temperatures)}" if len(temperatures) < len(row.runs) else ""
        rows.append((row.label, f"{spread_text(temperatures, 1, 2)}{number}", *cells))
    headings = [f"{when} log loss, {LEVELS[level]}" for level in LEVELS for when in ("raw", "calibrated")]
    columns = (
        "",
        "temperature",
        *headings,
        "raw Brier, 1-s window",
        "raw ECE, 1-s window",
        "calibrated ECE, 1-s window",
    )
    notes = [
        "One temperature per run and head, fitted on the windows of the validation fold only. Calibrated: after it, as "
        "`sedcrnn predict` gives probabilities; all else is raw. What the log loss loses by it is calibration loss.",
        f"Brier: squared distance summed over scenes{', 0 to 2' * (not table.multi_label)}. ECE: {BINS} bins of equal "
        "width; a diagnostic, no score.",
        *([f"No temperature: {'; '.join(sorted(reasons))}."] if reasons else []),
    ]
    return Grid("Calibration", columns, tuple(rows), tuple(notes))


def robustness_grid(table: Table) -> Grid | None:
    """Scores under missing and corrupted inputs and in other batches, where they were evaluated."""
    reports: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for row in table.rows:
        for run in row.runs.values():
            report = run.run.read(FOLD, ROBUSTNESS)
            if report and report["of"].get("schema_version") == ROBUSTNESS_SCHEMA_VERSION:
                reports.setdefault(row.label, []).append((run.head, report))
    if not reports:
        return None

    scale, digits, label = table.scores[table.main_score]

    def cell(found: list[tuple[str, dict[str, Any]]], condition: str) -> str:
        scores, rises = (
            [one[kind][condition][head] for head, one in found if head in one[kind].get(condition, {})]
            for kind in ("conditions", "confidence_rises")
        )
        if not scores:
            return NOTHING
        main, log_loss = ([one[score] for one in scores] for score in table.scores)
        lines = [spread_text(main, scale, digits), f"log loss {spread_text(log_loss, 1, 3)}"]
        return "\n".join([*lines, f"more confident in {spread_text(rises, 100, 0)} %"] if rises else lines)

    conditions = dict.fromkeys(name for found in reports.values() for _, one in found for name in one["conditions"])
    columns = ("", *(f"{label} (n={len(found)})" for label, found in reports.items()))
    rows = [(condition, *(cell(found, condition) for found in reports.values())) for condition in conditions]
    largest = (max(one["batch_invariance"]["largest_difference"] for _, one in found) for found in reports.values())
    rows.append(("other batches", *(f"{difference:.1e}" for difference in largest)))
    notes = (
        f"{label.capitalize()} on 1-s windows"
        + ", mean ± standard deviation over n seeds" * table.several_seeds
        + ". More "
        "confident: the share of windows whose "
        "likeliest scene becomes more probable although something is missing. Other batches: the largest difference of "
        "any probability between batches of other sizes and orders.",
    )
    return Grid("Missing and corrupted inputs", columns, tuple(rows), notes)


def cost_grid(table: Table) -> Grid:
    """Parameters, multiply-accumulates and latency."""
    rows, machines = [], set()
    for row in table.rows:
        answers = [run for run in row.runs.values() if run.is_answer]
        costs = [run.run.metrics["cost"] for run in answers]
        latencies = [latency for run in answers if (latency := run.run.latency)]
        machines |= {f"{latency['device']}, threads: {latency['threads']}" for latency in latencies}
        cells = [
            [f"{run.run.metrics['heads'][run.head]['parameters']:,}" for run in row.runs.values()],
            [f"{cost['trainable_parameters']:,}" for cost in costs],
            [f"{cost['multiply_accumulates_per_second'] / 1e9:.2f}" for cost in costs],
        ]
        milliseconds = spread_text([latency["milliseconds"] for latency in latencies], 1, 1)
        rows.append((row.label, *map(_same, cells), milliseconds))
    columns = ("", "parameters", "trained in its stage", "GMAC per second of scene", "latency, ms")
    notes = (
        "Parameters as Keras and the paper count them: with batch normalisation's statistics. Those that a run's own "
        "stage trained, and the work and time of a network, are its answer's; a head inside it has none of its own.",
        "Latency: median of repeated passes of one window, from features in memory"
        + "; mean over seeds" * table.several_seeds
        + (f". Measured on: {'; '.join(sorted(machines))}." if machines else "."),
    )
    return Grid("Cost", columns, tuple(rows), notes)


def _same(values: Iterable[str]) -> str:
    """What all runs say; everything that they say where they differ."""
    return " / ".join(dict.fromkeys(values)) or NOTHING
