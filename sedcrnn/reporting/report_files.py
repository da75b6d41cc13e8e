"""Run folders -> results.csv, the tables in a README, and the page; nothing is written unless all of it can be."""

import csv
import io
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from sedcrnn.errors import CheckpointError, ConfigError
from sedcrnn.evaluation.intervals import LEVEL
from sedcrnn.evaluation.predictions import AGGREGATOR
from sedcrnn.evaluation.result_names import ACCURACY, LATENCY, LOG_LOSS, MACRO_ACCURACY, MACRO_LOG_LOSS
from sedcrnn.reporting.collection import EVALUATED, collect
from sedcrnn.reporting.grids import LEVELS
from sedcrnn.reporting.page import build_page, describe_data
from sedcrnn.reporting.scoring import BRIER, CALIBRATION_ERROR, SCALED_CALIBRATION_ERROR, SCALED_LOG_LOSS, ScoredRun
from sedcrnn.reporting.table_grids import results_grid
from sedcrnn.reporting.tables import Table, make_tables, project_tables, read_tables
from sedcrnn.runs.files import write_text

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

BEGIN, END = "<!-- begin: sedcrnn report -->", "<!-- end: sedcrnn report -->"


def write_report(
    runs: Path,
    tables_file: Path | None,
    seeds: Sequence[int] | None,
    leave_out: Sequence[str],
    results: Path | None,
    readme: Path | None,
    page: Path,
) -> list[Path]:
    """Read run folders, and write their results; arguments are those of `sedcrnn report`.

    Returns:
        The files written.

    Raises:
        SedcrnnError: no runs, runs that cannot be read or do not fit together, or a README without markers.
    """
    specs = read_tables(tables_file or project_tables())
    before, after = _read_around(readme) if readme else ("", "")
    found = collect(runs, leave_out)
    tables = make_tables(found, specs, seeds)
    if not tables:
        states = sorted({f"{run.folder.name}: {run.state}" for run in found})
        raise CheckpointError(
            f"None of the {len(found)} runs in {runs} has scores to report ({'; '.join(states[:3])}"
            + (", ...)" if len(states) > 3 else ")"),
            "A run is reported once it is trained and evaluated, and if its seed is among `seeds`",
            "Evaluate them: sedcrnn evaluate run=<run folder>, with fold=validation and with fold=test",
        )
    texts = {results: results_text(tables)} if results else {}
    texts[page] = build_page(tables, found)
    if readme:
        parts = (
            f"### {table.title}\n\n{' '.join(filter(None, [describe_data(table), table.spec.note]))}\n\n"
            f"{results_grid(table).markdown()}\n\n"
            for table in tables
        )
        texts[readme] = f"{before}{BEGIN}\n\n{''.join(parts)}{END}{after}"
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def _read_around(path: Path) -> tuple[str, str]:
    """What stands before and after the tables in a Markdown file."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (begun and ended):
        raise ConfigError(
            f"{path} has no place for the tables" if path.is_file() else f"{path} does not exist",
            f"The tables go between the lines {BEGIN} and {END}",
            "Write both lines into the file, or set readme=null",
        )
    return before, after


def results_text(tables: Sequence[Table]) -> str:
    """results.csv: a line per row, seed and level, in the order of the tables; a missing seed has a state alone."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for row, seed, level in product(table.rows, table.seeds, LEVELS):
            line = {
                "table": table.title,
                "row": row.label,
                "experiment": row.spec.experiment,
                "variant": row.variant,
                "head": row.spec.head or "",
                "data": table.data["name"],
                "selection": table.data["selection"],
                "seed": seed,
                "level": level,
                "aggregator": AGGREGATOR if level == "clip" else "",
            }
            line |= _scores(row.runs[seed], level) if seed in row.runs else {"state": row.missing[seed]}
            writer.writerow(line)
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
    numbers = {score: found.scores[score] for score in SCORES if score in found.scores}
    for score, drawn in found.replicates.items():
        low, high = drawn.quantile(drawn.new_tensor(LEVEL)).tolist()
        numbers |= {f"{score}_low": low, f"{score}_high": high}
    if scored.temperature is not None:
        numbers["temperature"] = scored.temperature
    if scored.is_answer:
        line |= {name: metrics["cost"][name] for name in COST}
        if latency := scored.run.read(LATENCY):
            numbers["latency_milliseconds"] = latency["milliseconds"]
    return {**line, **{name: f"{value:.6f}" for name, value in numbers.items()}}
