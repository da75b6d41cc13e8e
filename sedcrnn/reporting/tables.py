"""tables.yaml and evaluated runs -> tables of rows, each with its seeds.

A table holds runs on one fold of one data set, selected by one protocol. The runs of a row differ in their seed alone:
each config of an experiment has a row of its own, named by what differs.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
from sedcrnn.reporting.grids import scores_of
from sedcrnn.reporting.naming import name_tables, name_variants
from sedcrnn.reporting.scoring import ScoredRun, score_run

log = logging.getLogger(__name__)


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
    name: str  # what distinguishes it, in short; empty where the experiment has one row
    variant: str  # all that it differs in from the experiment's other rows, as on the command line
    runs: dict[int, ScoredRun]  # by seed, in order; at least one
    missing: tuple[int, ...]  # seeds that were asked for and are not there

    @property
    def label(self) -> str:
        """What it is called."""
        return f"{self.spec.label} [{self.name}]" if self.name else self.spec.label

    @property
    def takes_both(self) -> bool:
        """Whether its networks take audio and video."""
        return all(None not in run.run.config["features"].values() for run in self.runs.values())

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
    title: str  # with the data, where those of the spec's runs differ; of own recordings, their name
    data: dict[str, Any]  # name, source and selection protocol of all its runs
    seeds: tuple[int, ...]  # that any row has, or should have
    rows: tuple[Row, ...]

    @property
    def reference(self) -> Row | None:
        """The row that the others are compared with; None: there is none, or more than one."""
        found = [row for row in self.rows if row.spec.head is None and row.spec.experiment == self.spec.reference]
        return found[0] if len(found) == 1 else None

    @property
    def single_modality(self) -> list[Row]:
        """The answers of the networks that take audio or video alone."""
        return [row for row in self.rows if not row.spec.head and row.spec.experiment in self.spec.single_modality]

    @property
    def scores(self) -> dict[str, tuple[float, int, str]]:
        """What its figures are (`grids.SCORES`)."""
        return scores_of(self.runs[0].levels["window"].scores)

    @property
    def main_score(self) -> str:
        """By which its rows are compared."""
        return next(iter(self.scores))

    @property
    def main_in_words(self) -> str:
        """That score, as the beginning of a sentence."""
        return "Mean average precision" if self.multi_label else "Accuracy"

    @property
    def several_seeds(self) -> bool:
        """Whether any row has a spread to speak of."""
        return any(len(row.runs) > 1 for row in self.rows)

    @property
    def multi_label(self) -> bool:
        """Whether an example may have any number of scenes."""
        return self.runs[0].multi_label

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
    """Sort evaluated runs into the tables of tables.yaml; experiments that it does not list come last, in a table of
    their own.

    Seeds are those that every row should have, and the only ones that are shown; None: those that are there.

    Raises:
        CheckpointError: two runs of one row have the same seed.
    """
    wanted = [run for run in runs if run.state == EVALUATED and (seeds is None or run.seed in seeds)]
    others = sorted({run.experiment for run in wanted} - {row.experiment for spec in specs for row in spec.rows})
    rows = [RowSpec(experiment=name, label=name) for name in others]
    rest = TableSpec(title="Other runs", note="Experiments that tables.yaml does not list.", rows=rows)
    tables = [table for spec in [*specs, rest] for table in _tables_of(spec, wanted, seeds)]
    titles = Counter(table.title for table in tables)  # own recordings may stand in tables of several entries
    return [
        replace(table, title=f"{table.title}: {table.spec.title}") if titles[table.title] > 1 else table
        for table in tables
    ]


def _tables_of(spec: TableSpec, runs: Sequence[ReportedRun], seeds: Sequence[int] | None) -> list[Table]:
    """The tables of one entry of tables.yaml: one for every fold that its runs were evaluated on."""
    pairs = [(row, run) for row in spec.rows for run in runs if run.experiment == row.experiment]
    bar = progress(pairs, spec.title, unit="run", disable=not pairs)
    scored = [(row, one) for row, run in bar if (one := _scored(run, row.head)) is not None]
    folds = {one.fold: one for _, one in scored}
    in_order = sorted(folds, key=lambda fold: (folds[fold].run.data["name"], folds[fold].run.data["selection"], fold))
    tables = []
    for fold, title in zip(in_order, name_tables(spec.title, [folds[fold] for fold in in_order]), strict=True):
        inside = [(row, one) for row, one in scored if one.fold == fold]
        shown = tuple(sorted({one.run.seed for _, one in inside} | set(seeds or ())))
        rows = [
            row for own in spec.rows for row in _rows_of(own, [one for of, one in inside if of is own], seeds or ())
        ]
        tables.append(Table(spec, title, folds[fold].run.data, shown, tuple(rows)))
    return tables


def _scored(run: ReportedRun, head: str | None) -> ScoredRun | None:
    """A run's scores; None where its predictions are not those of its metrics.json, or damaged, which is told."""
    try:
        return score_run(run, head)
    except CheckpointError as error:
        log.warning("%s is left out of the tables: %s", run.folder.name, error)
        return None


def _rows_of(spec: RowSpec, scored: Sequence[ScoredRun], seeds: Sequence[int]) -> list[Row]:
    """The rows of one entry: one for every config that its runs have, seeds aside."""
    variants: dict[str, list[ScoredRun]] = {}
    for one in scored:
        variants.setdefault(digest(one.run.variant), []).append(one)
    rows = []
    for members, (name, variant) in zip(
        variants.values(), name_variants([members[0].run.variant for members in variants.values()]), strict=True
    ):
        found: dict[int, ScoredRun] = {}
        for one in members:
            if (seed := one.run.seed) in found:
                raise CheckpointError(
                    f"{found[seed].run.folder} and {one.run.folder} are both '{spec.experiment}' with seed {seed} "
                    "and the same config; they differ in what they started from, in their data or in the version of "
                    "sedcrnn",
                    "A row has one run per seed",
                    f"Leave one out: leave_out=[{one.run.folder.name}]; or move it out of the folder of runs",
                )
            found[seed] = one
        missing = tuple(seed for seed in seeds if seed not in found)
        rows.append(Row(spec, name, variant, dict(sorted(found.items())), missing))
    return sorted(rows, key=lambda row: row.variant)
