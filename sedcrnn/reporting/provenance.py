"""Runs and tables -> what made the figures, and what a reader has to be warned of."""

from collections.abc import Iterable, Sequence

from sedcrnn.datasets.folds import TEST_FOLD_AS_AUTHORS
from sedcrnn.reporting.collection import EVALUATED, Run
from sedcrnn.reporting.grids import NOTHING, Grid
from sedcrnn.reporting.rows import Table

SELECTIONS = {
    TEST_FOLD_AS_AUTHORS: "on the test fold itself, as the paper's authors did",
    "location_disjoint": "on a part of the training fold that shares no location with the rest",
}


def describe_data(table: Table) -> str:
    """What a table's figures are of, in two sentences."""
    example, levels = table.example, table.example.levels
    selection = SELECTIONS.get(table.data["selection"], table.data["selection"])
    windows = sorted({run.levels["window"].examples for row in table.rows for run in row.runs.values()})
    return (
        f"Data: {table.data['name']}, {example.run.fold} fold, {' or '.join(map(str, windows))} windows of 1 s in "
        f"{levels['clip'].examples} clips from {len(set(example.locations))} locations, {len(example.scenes)} scenes. "
        f"Checkpoints were selected {selection}."
    )


def find_warnings(runs: Sequence[Run], tables: Sequence[Table]) -> list[str]:
    """What a reader has to know before believing a figure."""
    shown = {run.run.folder: run.run for table in tables for row in table.rows for run in row.runs.values()}
    used = list(shown.values())
    warnings = []
    if selected := _names(run for run in used if run.record["selection"] == TEST_FOLD_AS_AUTHORS):
        warnings.append(f"The checkpoint was selected on the test fold, so test figures are too good: {selected}.")
    commits = {str(run.record["git_commit"]) for run in used}
    if len(commits) > 1:
        told = ", ".join(sorted(_short(commit) for commit in commits))
        warnings.append(f"The runs come from different commits: {told}.")
    if dirty := _names(run for run in used if str(run.record["git_commit"]).endswith("-dirty")):
        warnings.append(f"Files differed from the commit when these were trained: {dirty}.")
    if unknown := _names(run for run in used if run.record["git_commit"] is None):
        warnings.append(f"Trained outside a git checkout, so the commit is not known: {unknown}.")
    for package, versions in _versions(used).items():
        if len(versions) > 1:
            warnings.append(f"The runs were made with different versions of {package}: {', '.join(versions)}.")
    short = [(table, number) for table in tables if (number := sum(bool(row.missing) for row in table.rows))]
    if short:
        told = ", ".join(f"{table.title} ({number} of {len(table.rows)} rows)" for table, number in short)
        warnings.append(f"Seeds are missing in: {told}.")
    if skipped := _names(run for run in used if run.metrics and run.metrics["skipped_clips"]):
        warnings.append(f"Unreadable clips were left out of: {skipped}.")
    if lacking := _names(run for run in runs if run.state != EVALUATED):
        warnings.append(f"Runs without scores: {lacking}.")
    return warnings


def describe_versions(tables: Sequence[Table]) -> str:
    """The versions that the shown runs were made with."""
    used = [run.run for table in tables for row in table.rows for run in row.runs.values()]
    return ", ".join(f"{package} {' / '.join(versions)}" for package, versions in _versions(used).items())


def runs_grid(runs: Sequence[Run]) -> Grid:
    """Every run folder that was looked at."""
    rows = tuple(
        (
            run.folder.name,
            run.experiment,
            str(run.seed),
            run.state,
            str(run.data["name"]),
            str(run.record["selection"]),
            _short(str(run.record["git_commit"])),
            str(run.record.get("finished", NOTHING)),
        )
        for run in runs
    )
    columns = ("run", "experiment", "seed", "state", "data", "checkpoint selected by", "commit", "finished")
    return Grid("Runs", columns, rows)


def _versions(runs: Sequence[Run]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for run in runs:
        for package, version in run.record["versions"].items():
            found.setdefault(package, set()).add(version)
    return {package: sorted(versions) for package, versions in found.items()}


def _names(runs: Iterable[Run]) -> str:
    return ", ".join(run.folder.name for run in runs)


def _short(commit: str) -> str:
    """The first ten digits of a commit, with its mark where files differ from it."""
    digits, _, dirty = commit.partition("-")
    return digits[:10] + (dirty and f"-{dirty}")
