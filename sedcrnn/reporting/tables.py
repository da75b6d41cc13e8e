"""tables.yaml and runs -> tables of rows, each with its seeds.

A table holds runs on one fold of one data set, selected by one protocol. The runs of a row differ in their seed alone:
each config of an experiment has a row of its own, named by what differs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic.dataclasses
import torch
import yaml

from sedcrnn.config import CONF, checked, digest
from sedcrnn.config.values import CHECKED, Flag, Name
from sedcrnn.errors import CheckpointError, ConfigError, nearest
from sedcrnn.evaluation.intervals import LEVEL, Interval
from sedcrnn.progress import progress
from sedcrnn.reporting.collection import EVALUATED, ReportedRun
from sedcrnn.reporting.scoring import ScoredRun, score_run


@pydantic.dataclasses.dataclass(config=CHECKED)
class RowSpec:
    """A row of tables.yaml; experiments/tables.yaml describes the keys."""

    experiment: Name
    label: Name
    head: Name | None = None
    published: Literal["audio", "visual", "early", "late"] | None = None


@pydantic.dataclasses.dataclass(config=CHECKED)
class TableSpec:
    """A table of tables.yaml."""

    title: Name
    rows: list[RowSpec]
    note: str = ""
    reference: Name | None = None
    single_modality: list[Name] = field(default_factory=list)
    chance: Flag = False


@dataclass(frozen=True, eq=False)
class Row:
    """One head of one experiment, over seeds."""

    spec: RowSpec
    variant: str  # what distinguishes it, as on the command line; empty where the experiment has one row
    runs: dict[int, ScoredRun]  # by seed, in order
    missing: dict[int, str]  # seed -> why there is no score for it

    @property
    def label(self) -> str:
        """What it is called."""
        return f"{self.spec.label} [{self.variant}]" if self.variant else self.spec.label

    def values(self, level: str, score: str) -> list[float]:
        """A score of every seed that has it."""
        found = (run.levels[level].scores.get(score) for run in self.runs.values())
        return [value for value in found if value is not None]

    def interval(self, level: str, score: str) -> Interval:
        """95 % over locations of the mean over seeds: a bootstrap that draws the same locations for all seeds."""
        drawn = torch.stack([run.levels[level].replicates[score] for run in self.runs.values()]).mean(0)
        low, high = np.quantile(drawn.numpy(), LEVEL).tolist()
        return low, high


@dataclass(frozen=True, eq=False)
class Table:
    """Rows that may be compared."""

    spec: TableSpec
    title: str  # with the data, where those of the spec's runs differ
    data: dict[str, Any]  # name, source and selection protocol of all its runs
    seeds: tuple[int, ...]  # that every row should have
    rows: tuple[Row, ...]

    @property
    def reference(self) -> Row | None:
        """The row that the others are compared with; None: there is none, or more than one."""
        found = [row for row in self.with_runs if row.spec.head is None and row.spec.experiment == self.spec.reference]
        return found[0] if len(found) == 1 else None

    @property
    def single_modality(self) -> list[Row]:
        """The answers of the networks that take audio or video alone."""
        return [row for row in self.rows if not row.spec.head and row.spec.experiment in self.spec.single_modality]

    @property
    def with_runs(self) -> list[Row]:
        """The rows that have any score."""
        return [row for row in self.rows if row.runs]

    @property
    def runs(self) -> list[ScoredRun]:
        """All of its rows and seeds; there is at least one, and all have the same scenes and clips."""
        return [run for row in self.rows for run in row.runs.values()]


def read_tables(path: Path) -> list[TableSpec]:
    """The tables of a tables.yaml, checked.

    Raises:
        ConfigError: absent, damaged, an unknown key, or a name that nothing has.
    """
    try:
        loaded: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(loaded, dict) or not isinstance(loaded.get("tables"), list):
            raise ValueError("it does not list tables by the key 'tables'")
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}",
            "It is YAML as experiments/tables.yaml describes it",
            "Correct it, or give another: tables=<file>",
        ) from error
    try:
        # Rows by themselves, so that the nearest name is one of a row's keys.
        rows = [[checked(row, RowSpec) for row in table.get("rows", [])] for table in loaded["tables"]]
        specs = [checked({**table, "rows": own}, TableSpec) for table, own in zip(loaded["tables"], rows, strict=True)]
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.found}", error.allowed, f"Correct it in {path}") from error
    for spec in specs:
        experiments = [row.experiment for row in spec.rows]
        for name in filter(None, [spec.reference, *spec.single_modality]):
            if name not in experiments:
                raise ConfigError(
                    f"{path}: the table '{spec.title}' names '{name}', which is none of its rows",
                    f"The nearest is {nearest(name, experiments)}",
                    "Correct the name",
                )
    return specs


def project_tables() -> Path:
    """experiments/tables.yaml of a checkout; in an installed package it lies with the configs."""
    beside = CONF.parent / "experiments" / "tables.yaml"
    return beside if beside.is_file() else CONF / "tables.yaml"


def make_tables(
    runs: Sequence[ReportedRun], specs: Sequence[TableSpec], seeds: Sequence[int] | None = None
) -> list[Table]:
    """Sort runs into the tables of tables.yaml; experiments that it does not list come last, in a table of their own.

    Seeds are those that every row should have, and the only ones that are shown; None: those that are there.

    Raises:
        CheckpointError: two evaluated runs of one row have the same seed.
    """
    others = sorted({run.experiment for run in runs} - {row.experiment for spec in specs for row in spec.rows})
    rows = [RowSpec(experiment=name, label=name) for name in others]
    rest = TableSpec(title="Other runs", note="Experiments that tables.yaml does not list.", rows=rows)
    wanted = [run for run in runs if seeds is None or run.seed in seeds]
    return [table for spec in [*specs, rest] for table in _tables_of(spec, wanted, seeds)]


def _tables_of(spec: TableSpec, runs: Sequence[ReportedRun], seeds: Sequence[int] | None) -> list[Table]:
    """The tables of one entry of tables.yaml: one for every fold that its runs were evaluated on."""
    experiments = {row.experiment for row in spec.rows}
    members = [run for run in runs if run.experiment in experiments]
    pairs = [
        (number, row.head, run)
        for number, row in enumerate(spec.rows)
        for run in members
        if run.experiment == row.experiment and run.state == EVALUATED
    ]
    bar = progress(pairs, spec.title, unit="run", disable=not pairs)
    scored = [(number, score_run(run, head)) for number, head, run in bar]
    folds = {one.fold: one.run.data for _, one in scored}
    in_order = sorted(folds.items(), key=lambda item: (item[1]["name"], item[1]["selection"], item[0]))
    tables = []
    for position, (fold, data) in enumerate(in_order, start=1):
        # What is not evaluated yet belongs to every fold of its data.
        inside = [run for run in members if digest(run.data) == fold[0]]
        asked = tuple(sorted(seeds if seeds is not None else {run.seed for run in inside}))
        rows: list[Row] = []
        for number, row in enumerate(spec.rows):
            here = {one.run.folder: one for of, one in scored if of == number and one.fold == fold}
            rows += _rows_of(row, [run for run in inside if run.experiment == row.experiment], here, asked)
        about = f" ({position} of {len(folds)}: {data['name']}, {data['selection']})" if len(folds) > 1 else ""
        tables.append(Table(spec, spec.title + about, data, asked, tuple(rows)))
    return tables


def _rows_of(
    spec: RowSpec, runs: Sequence[ReportedRun], scored: Mapping[Path, ScoredRun], seeds: Sequence[int]
) -> list[Row]:
    """The rows of one entry: one for every config that its runs have, seeds aside."""
    own = [run for run in runs if run.folder in scored or run.state != EVALUATED]
    elsewhere = {run.seed: "evaluated on other clips" for run in runs if run not in own}
    variants: dict[str, list[ReportedRun]] = {}
    for run in own:
        variants.setdefault(digest(run.variant), []).append(run)
    configs = [members[0].variant for members in variants.values()]
    keys = sorted({key for config in configs for key in config})
    differing = [key for key in keys if len({config.get(key) for config in configs}) > 1]
    rows = []
    for members in variants.values() or [[]]:
        found: dict[int, ScoredRun] = {}
        for run in members:
            if run.folder not in scored:
                continue
            if run.seed in found:
                raise CheckpointError(
                    f"{found[run.seed].run.folder} and {run.folder} are both '{spec.experiment}' with seed {run.seed} "
                    "and the same config; they differ in what they started from, in their data or in the version of "
                    "sedcrnn",
                    "A row has one run per seed",
                    f"Leave one out: leave_out=[{run.folder.name}]; or move it out of the folder of runs",
                )
            found[run.seed] = scored[run.folder]
        states = elsewhere | {run.seed: run.state for run in members}
        missing = {seed: states.get(seed, "no run") for seed in seeds if seed not in found}
        variant = ", ".join(f"{key}={members[0].variant.get(key, 'absent')}" for key in differing)
        rows.append(Row(spec, variant, dict(sorted(found.items())), missing))
    return sorted(rows, key=lambda row: row.variant)
