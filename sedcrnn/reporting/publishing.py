"""results.csv as it stands and as it would be -> what publishing replaces, and a refusal where that is less."""

import csv
from collections.abc import Mapping
from pathlib import Path

from sedcrnn.errors import ConfigError
from sedcrnn.reporting.collection import EVALUATED
from sedcrnn.runs.csv_cells import from_cell

RESULTS, README = Path("experiments/results.csv"), Path("experiments/README.md")
OVERWRITE = "overwrite"

MOST_LOSSES = 6  # that the error names

Standing = Mapping[str, Mapping[str, set[int]]]
"""Table -> row -> seeds that have scores."""


def standing(results: str) -> Standing:
    """What a results.csv holds.

    Raises:
        ConfigError: it is no such file.
    """
    tables: dict[str, dict[str, set[int]]] = {}
    try:
        for line in csv.DictReader(results.splitlines()):
            if line["state"] == EVALUATED:
                table, row = from_cell(line["table"]), from_cell(line["row"])
                tables.setdefault(table, {}).setdefault(row, set()).add(int(line["seed"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{RESULTS} is not what an earlier report published: {type(error).__name__} {error}",
            "It is a CSV file with a line per row, seed and level",
            f"Restore it, or move it away: {RESULTS}",
        ) from error
    return tables


def describe_changes(before: Standing, after: Standing) -> list[str]:
    """A line for each table: what stood there, and what stands there now."""
    return [
        f"{title}: {_extent(before.get(title, {}))} before, {_extent(after.get(title, {}))} now"
        for title in dict.fromkeys([*before, *after])
    ]


def refuse_losses(before: Standing, after: Standing) -> None:
    """Refuse to publish less than stands there.

    Raises:
        ConfigError: a table, row or seed would be gone.
    """
    lost = [
        f"the table '{title}' ({_extent(rows)})"
        if title not in after
        else f"the row '{label}' of '{title}'"
        if label not in after[title]
        else f"seed {', '.join(map(str, sorted(gone)))} of '{label}' in '{title}'"
        for title, rows in before.items()
        for label, seeds in rows.items()
        if (gone := seeds - after.get(title, {}).get(label, set()))
    ]
    lost = list(dict.fromkeys(lost))  # a table is gone once, whatever rows it had
    if lost:
        others = len(lost) - MOST_LOSSES
        raise ConfigError(
            f"{RESULTS} would lose {'; '.join(lost[:MOST_LOSSES])}" + (f"; and {others} more" if others > 0 else ""),
            "What was published stays, or is replaced on purpose",
            "Report from the folder that holds those runs as well (runs=<folder>), leave publish out for the page "
            f"alone, or replace them: publish={OVERWRITE}",
        )


def _extent(rows: Mapping[str, set[int]]) -> str:
    """`13 rows of 2 to 5 seeds`."""
    if not rows:
        return "none"
    numbers = sorted({len(seeds) for seeds in rows.values()})
    seeds = " to ".join(dict.fromkeys([str(numbers[0]), str(numbers[-1])]))
    return f"{len(rows)} row{'s' * (len(rows) > 1)} of {seeds} seed{'s' * (numbers[-1] > 1)}"
