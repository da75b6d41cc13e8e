"""Run folders -> results.csv, the table in a README, and the page; nothing is written unless all of it can be."""

from collections.abc import Sequence
from pathlib import Path

from sedcrnn.config.composition import CONF
from sedcrnn.errors import CheckpointError
from sedcrnn.reporting.collection import collect
from sedcrnn.reporting.outputs import read_around, write_readme, write_results
from sedcrnn.reporting.page import build_page
from sedcrnn.reporting.rows import make_tables
from sedcrnn.reporting.rows_file import read_rows
from sedcrnn.runs.files import write_text


def write_report(
    runs: Path,
    tables_file: Path | None,
    seeds: Sequence[int] | None,
    leave_out: Sequence[str],
    results: Path,
    readme: Path | None,
    page: Path,
) -> list[Path]:
    """Read run folders, and write what they say.

    Args:
        runs: folder of run folders.
        tables_file: which experiments are rows of which table; None: this project's.
        seeds: that every row should have; None: those that are there.
        leave_out: names of run folders that are not looked at.
        results: file with a line per row, seed and level.
        readme: file whose table between its markers is renewed; None: none.
        page: file of the HTML page.

    Returns:
        The files written.

    Raises:
        SedcrnnError: no runs, runs that cannot be read or do not fit together, or a file that has no place for a table.
    """
    specs = read_rows(tables_file or project_tables())
    if readme is not None:
        read_around(readme)
    found = collect(runs, fold="test", leave_out=leave_out)
    tables = make_tables(found, specs, seeds)
    if not tables:
        states = sorted({f"{run.folder.name}: {run.state}" for run in found})
        raise CheckpointError(
            f"None of the {len(found)} runs in {runs} has scores to report ({'; '.join(states[:3])}"
            + (", ...)" if len(states) > 3 else ")"),
            "A run is reported once it is trained and evaluated, and if its seed is among `seeds`",
            "Evaluate them: sedcrnn evaluate run=<run folder>, with fold=validation and with fold=test",
        )
    text = build_page(tables, found)
    write_results(results, tables)
    write_text(page, text)
    if readme is None:
        return [results, page]
    write_readme(readme, tables)
    return [results, page, readme]


def project_tables() -> Path:
    """experiments/tables.yaml of a checkout; in an installed package it lies with the configs."""
    beside = CONF.parent / "experiments" / "tables.yaml"
    return beside if beside.is_file() else CONF / "tables.yaml"
