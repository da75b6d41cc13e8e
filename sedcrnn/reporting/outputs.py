"""Tables -> results.csv, a line per row, seed and level; and the table between a README's markers."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sedcrnn.errors import ConfigError
from sedcrnn.evaluation.intervals import LEVEL
from sedcrnn.evaluation.metrics import ACCURACY, LOG_LOSS, MACRO_ACCURACY, MACRO_LOG_LOSS
from sedcrnn.evaluation.predictions import AGGREGATOR
from sedcrnn.reporting.collection import EVALUATED
from sedcrnn.reporting.grids import Grid
from sedcrnn.reporting.provenance import describe_data
from sedcrnn.reporting.results_tables import LEVELS
from sedcrnn.reporting.rows import Row, Table
from sedcrnn.reporting.score_grids import results_grid
from sedcrnn.reporting.scoring import BRIER, CALIBRATION_ERROR, SCALED_CALIBRATION_ERROR, SCALED_LOG_LOSS
from sedcrnn.runs.files import write_text

SCORES = (
    *(MACRO_ACCURACY, MACRO_LOG_LOSS, ACCURACY, LOG_LOSS),
    *(SCALED_LOG_LOSS, BRIER, CALIBRATION_ERROR, SCALED_CALIBRATION_ERROR),
)
INTERVALS = tuple(f"{score}_{bound}" for score in (MACRO_ACCURACY, MACRO_LOG_LOSS) for bound in ("low", "high"))
COST = ("parameters", "trainable_parameters", "multiply_accumulates_per_second", "latency_milliseconds")
COLUMNS = (
    *("table", "row", "experiment", "variant", "head", "data", "selection", "seed", "level", "aggregator", "state"),
    *("examples", "locations", *SCORES, *INTERVALS, "temperature", *COST, "run", "git_commit"),
)

BEGIN, END = "<!-- begin: python -m sedcrnn.report -->", "<!-- end: python -m sedcrnn.report -->"


def write_results(path: Path, tables: Sequence[Table]) -> None:
    """Write one line per row, seed and level, in the order of the tables; a missing seed has a state and no scores."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for row in table.rows:
            writer.writerows(_lines(table, row))
    write_text(path, text.getvalue())


def write_readme(path: Path, tables: Sequence[Table]) -> None:
    """Put every table's scores between the markers of a Markdown file; what is around them stays.

    Raises:
        ConfigError: the file is absent, or has no such markers.
    """
    before, after = read_around(path)
    parts = []
    for table in tables:
        note = f" {table.note}" if table.note else ""
        parts.append(f"### {table.title}\n\n{describe_data(table)}{note}\n\n{_markdown(results_grid(table))}")
    write_text(path, f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}")


def read_around(path: Path) -> tuple[str, str]:
    """What stands before and after the table in a Markdown file.

    Raises:
        ConfigError: the file is absent, or has no such markers.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (begun and ended):
        raise ConfigError(
            f"{path} has no place for the table" if path.is_file() else f"{path} does not exist",
            f"The table goes between the lines {BEGIN} and {END}",
            "Write both lines into the file, or set readme=null",
        )
    return before, after


def _lines(table: Table, row: Row) -> Iterator[dict[str, Any]]:
    common = {
        "table": table.title,
        "row": row.label,
        "experiment": row.experiment,
        "variant": row.variant,
        "head": row.head or "",
        "data": table.data["name"],
        "selection": table.data["selection"],
    }
    for seed in table.seeds:
        for level in LEVELS:
            line = {**common, "seed": seed, "level": level, "aggregator": AGGREGATOR if level == "clip" else ""}
            if seed in row.runs:
                yield {**line, **_scores(row, seed, level)}
            else:
                yield {**line, "state": row.missing[seed]}


def _scores(row: Row, seed: int, level: str) -> dict[str, Any]:
    scored = row.runs[seed]
    found, metrics = scored.levels[level], scored.run.metrics
    assert metrics is not None
    line: dict[str, Any] = {
        "head": scored.head,
        "state": EVALUATED,
        "examples": found.examples,
        "locations": len(set(scored.locations)),
        "parameters": metrics["heads"][scored.head]["parameters"],
        "run": scored.run.folder.name,
        "git_commit": scored.run.record["git_commit"] or "",
    }
    numbers = {score: found.scores[score] for score in SCORES if score in found.scores}
    for score in (MACRO_ACCURACY, MACRO_LOG_LOSS):
        low, high = found.replicates[score].quantile(found.replicates[score].new_tensor(LEVEL)).tolist()
        numbers |= {f"{score}_low": low, f"{score}_high": high}
    if scored.temperature is not None:
        numbers["temperature"] = scored.temperature
    if scored.is_answer:
        line |= {name: metrics["cost"][name] for name in COST[1:3]}
        if (latency := scored.run.latency()) is not None:
            numbers["latency_milliseconds"] = latency["milliseconds"]
    return {**line, **{name: f"{value:.6f}" for name, value in numbers.items()}}


def _markdown(grid: Grid) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |"

    rule = "|" + "---|" + "---:|" * (len(grid.columns) - 1)
    return "\n".join([line(grid.columns), rule, *map(line, grid.rows), "", *grid.notes])
