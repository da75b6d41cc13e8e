"""Run folders -> the page; and, published, results.csv and the tables in a README. Nothing is written unless all of it
can be."""

import csv
import io
import logging
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

from sedcrnn.errors import CheckpointError, ConfigError
from sedcrnn.evaluation.intervals import LEVEL
from sedcrnn.evaluation.predictions import AGGREGATOR
from sedcrnn.evaluation.result_names import (
    ACCURACY,
    LOG_LOSS,
    MACRO_ACCURACY,
    MACRO_F1,
    MACRO_LOG_LOSS,
    MEAN_PRECISION,
    MICRO_F1,
)
from sedcrnn.reporting.collection import EVALUATED, collect, missing_folds
from sedcrnn.reporting.grids import LEVELS, MISSING
from sedcrnn.reporting.page import build_page, describe_data
from sedcrnn.reporting.publishing import OVERWRITE, README, RESULTS, describe_changes, refuse_losses, standing
from sedcrnn.reporting.scoring import BRIER, CALIBRATION_ERROR, SCALED_CALIBRATION_ERROR, SCALED_LOG_LOSS, ScoredRun
from sedcrnn.reporting.table_grids import results_grid
from sedcrnn.reporting.tables import Table, make_tables, project_tables, read_tables
from sedcrnn.reporting.wandb_artifact import WandbReport
from sedcrnn.runs.csv_cells import to_cell
from sedcrnn.runs.files import write_text

log = logging.getLogger(__name__)

SCORES = (
    *(MACRO_ACCURACY, MACRO_LOG_LOSS, ACCURACY, LOG_LOSS),
    *(SCALED_LOG_LOSS, BRIER, CALIBRATION_ERROR, SCALED_CALIBRATION_ERROR),
)
INTERVALS = tuple(f"{score}_{bound}" for score in (MACRO_ACCURACY, MACRO_LOG_LOSS) for bound in ("low", "high"))
COST = ("trainable_parameters", "multiply_accumulates_per_second")
COLUMNS = (
    *("table", "row", "experiment", "variant", "head", "data", "selection", "seed", "level", "aggregator", "state"),
    *("examples", "locations", *SCORES, *INTERVALS, "temperature", "parameters", *COST, "latency_milliseconds"),
    *("run", "git_commit"),
)

# After all others, where there are multi-label data.
LABEL_SCORES = (MEAN_PRECISION, MACRO_F1, MICRO_F1)
LABEL_COLUMNS = (*LABEL_SCORES, f"{MEAN_PRECISION}_low", f"{MEAN_PRECISION}_high")

NAMES = ("table", "row", "experiment", "variant", "head", "data", "run")  # columns that hold texts of others

BEGIN, END = "<!-- begin: sedcrnn report -->", "<!-- end: sedcrnn report -->"


def write_report(
    runs: Path,
    tables_file: Path | None,
    seeds: Sequence[int] | None,
    leave_out: Sequence[str],
    publish: bool | Literal["overwrite"],
    page: Path,
    wandb: WandbReport | None = None,
) -> list[Path]:
    """Read run folders, and write their results; arguments are those of `sedcrnn report`. What publishing replaces is
    logged.

    Returns:
        The files written.

    Raises:
        SedcrnnError: no runs, runs that cannot be read or do not fit together, a README without markers, or published
            tables that would be lost.
    """
    specs = read_tables(tables_file or project_tables())
    found = collect(runs, leave_out)
    for sentence in missing_folds(found):
        log.warning("%s.", sentence)
    tables = make_tables(found, specs, seeds)
    if not tables:
        states = sorted({f"{run.folder.name}: {run.state}" for run in found})
        raise CheckpointError(
            f"None of the {len(found)} runs in {runs} has scores to report ({'; '.join(states[:3])}"
            + (", ...)" if len(states) > 3 else ")"),
            "A run is reported once it is trained and evaluated, and if its seed is among `seeds`",
            "Evaluate them: sedcrnn evaluate run=<run folder>, with fold=validation and with fold=test",
        )
    texts = published_texts(tables, publish == OVERWRITE) if publish else {}
    texts[page] = build_page(tables, found, page.parent)
    for path, text in texts.items():
        write_text(path, text)
    if wandb is not None:
        wandb.send(page, results_text(tables))
    return list(texts)


def published_texts(tables: Sequence[Table], overwrite: bool) -> dict[Path, str]:
    """results.csv and README.md in experiments/, renewed; errors as `write_report`."""
    before, after = _read_around(README)
    results = results_text(tables)
    stood = standing(RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else "")
    stands = standing(results)
    if not overwrite:
        refuse_losses(stood, stands)
    for change in describe_changes(stood, stands):
        log.info("%s", change)
    parts = (
        f"### {table.title}\n\n{' '.join(filter(None, [describe_data(table), table.spec.note]))}\n\n"
        f"{results_grid(table).markdown()}\n\n"
        for table in tables
    )
    return {RESULTS: results, README: f"{before}{BEGIN}\n\n{''.join(parts)}{END}{after}"}


def _read_around(path: Path) -> tuple[str, str]:
    """What stands before and after the tables in a Markdown file."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (begun and ended):
        raise ConfigError(
            f"{path} has no place for the tables" if path.is_file() else f"{path} does not exist",
            f"The tables go between the lines {BEGIN} and {END}",
            "Run the command where the file is, write both lines into it, or leave publish out for the page alone",
        )
    return before, after


def results_text(tables: Sequence[Table]) -> str:
    """results.csv: a line per row, seed and level, in the order of the tables; a seed that was asked for and is not
    there has a state alone."""
    text = io.StringIO()
    columns = (*COLUMNS, *(LABEL_COLUMNS if any(table.multi_label for table in tables) else ()))
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for table in tables:
        lines = ((row, seed) for row in table.rows for seed in sorted([*row.runs, *row.missing]))
        for (row, seed), level in product(lines, LEVELS):
            line = {
                "table": table.title,
                "row": row.label,
                "experiment": row.spec.experiment,
                "variant": row.variant,
                "head": row.spec.head or "",
                "data": table.runs[0].run.data_set,
                "selection": table.data["selection"],
                "seed": seed,
                "level": level,
                "aggregator": AGGREGATOR if level == "clip" else "",
            }
            line |= _scores(row.runs[seed], level) if seed in row.runs else {"state": MISSING}
            writer.writerow({name: to_cell(value) if name in NAMES else value for name, value in line.items()})
    return text.getvalue()


def _scores(scored: ScoredRun, level: str) -> dict[str, Any]:
    found, metrics = scored.levels[level], scored.run.metrics
    line: dict[str, Any] = {
        "head": scored.head,
        "state": EVALUATED,
        "examples": len(found.scene),
        "locations": len(set(scored.locations)),
        "parameters": metrics["heads"][scored.head]["parameters"],
        "run": scored.run.folder.name,
        "git_commit": scored.run.record["git_commit"] or "",
    }
    numbers = {score: found.scores[score] for score in (*SCORES, *LABEL_SCORES) if score in found.scores}
    for score, drawn in found.replicates.items():
        low, high = drawn.quantile(drawn.new_tensor(LEVEL)).tolist()
        numbers |= {f"{score}_low": low, f"{score}_high": high}
    if scored.temperature is not None:
        numbers["temperature"] = scored.temperature
    if scored.is_answer:
        line |= {name: metrics["cost"][name] for name in COST}
        if latency := scored.run.latency:
            numbers["latency_milliseconds"] = latency["milliseconds"]
    return {**line, **{name: f"{value:.6f}" for name, value in numbers.items()}}
