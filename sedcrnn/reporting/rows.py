"""rows.yaml and runs -> tables of rows, each with its seeds.

A table holds runs on one fold of one data set, selected by one protocol: what cannot be compared does not stand in one
table. A row holds runs that differ in their seed alone: where runs of an experiment differ in more, each config has a
row of its own, named by what differs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from sedcrnn.config import digest
from sedcrnn.errors import CheckpointError
from sedcrnn.evaluation.intervals import LEVEL, Interval
from sedcrnn.reporting.collection import EVALUATED, Run
from sedcrnn.reporting.results_tables import PUBLISHED, Published
from sedcrnn.reporting.rows_file import RowSpec, TableSpec
from sedcrnn.reporting.scoring import ScoredRun, score_run

NO_RUN = "no run"
ON_OTHER_CLIPS = "evaluated on other clips"


@dataclass(frozen=True, eq=False)
class Row:
    """One head of one experiment, over seeds.

    Attributes:
        label: what it is called, with what tells it from other rows of the experiment.
        experiment: its name.
        variant: what tells it from other rows of the experiment, as on the command line; empty where it has one row.
        head: None: the network's answer.
        published: the paper's figures for it.
        runs: by seed, in order.
        missing: seed -> why there is no score for it.
    """

    label: str
    experiment: str
    variant: str
    head: str | None
    published: Published | None
    runs: dict[int, ScoredRun]
    missing: dict[int, str]

    def values(self, level: str, score: str) -> list[float]:
        """A score of every seed that has it."""
        found = (run.levels[level].scores.get(score) for run in self.runs.values())
        return [value for value in found if value is not None]

    def interval(self, level: str, score: str) -> Interval:
        """95 % over locations of the mean over seeds: a bootstrap in which all seeds see the same drawn locations."""
        drawn = torch.stack([run.levels[level].replicates[score] for run in self.runs.values()]).mean(0)
        low, high = np.quantile(drawn.numpy(), LEVEL).tolist()
        return low, high


@dataclass(frozen=True, eq=False)
class Table:
    """Rows that may be compared.

    Attributes:
        title: of the table.
        note: on what it shows.
        data: name, source and selection protocol of all its runs.
        seeds: that every row should have.
        rows: in order.
        reference: the row that the others are compared with; None: there is none, or it is not one.
        single_modality: rows of one modality; fusion's gain is over the best of them.
        chance: whether chance level is shown as well.
    """

    title: str
    note: str
    data: dict[str, Any]
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    reference: Row | None
    single_modality: tuple[Row, ...]
    chance: bool

    @property
    def example(self) -> ScoredRun:
        """Any of its runs, for what all of them share."""
        return next(run for row in self.rows for run in row.runs.values())


def make_tables(runs: Sequence[Run], specs: Sequence[TableSpec], seeds: Sequence[int] | None = None) -> list[Table]:
    """Sort runs into tables; those of experiments that no table lists come last, in a table of their own.

    Args:
        runs: all.
        specs: the tables of rows.yaml.
        seeds: that every row should have, and the only ones that are shown; None: those that are there.

    Raises:
        CheckpointError: two evaluated runs of one row have the same seed.
    """
    listed = {row.experiment for spec in specs for row in spec.rows}
    others = sorted({run.experiment for run in runs} - listed)
    rest = TableSpec(title="Other runs", note="Experiments that rows.yaml does not list.")
    rest.rows = [RowSpec(experiment=name, label=name) for name in others]
    wanted = [run for run in runs if seeds is None or run.seed in seeds]
    return [table for spec in [*specs, rest] for table in _tables_of(spec, wanted, seeds)]


def _tables_of(spec: TableSpec, runs: Sequence[Run], seeds: Sequence[int] | None) -> list[Table]:
    """The tables of one entry of rows.yaml: one for every fold that its runs were evaluated on."""
    experiments = {row.experiment for row in spec.rows}
    members = [run for run in runs if run.experiment in experiments]
    if not members:
        return []
    pairs = [
        (number, run)
        for number, row in enumerate(spec.rows)
        for run in members
        if run.experiment == row.experiment and run.state == EVALUATED
    ]
    scored = {
        (number, run.folder): score_run(run, spec.rows[number].head)
        for number, run in tqdm(pairs, desc=spec.title, unit="run")
    }
    folds = {(digest(one.run.data), one.fold_digest): one.run.data for one in scored.values()}
    tables = []
    in_order = sorted(folds.items(), key=lambda item: (item[1]["name"], item[1]["selection"], item[0]))
    for place, ((data_digest, fold_digest), data) in enumerate(in_order, start=1):
        # What is not evaluated yet belongs to every fold of its data.
        inside = [run for run in members if digest(run.data) == data_digest]
        here = {key: one for key, one in scored.items() if one.fold_digest == fold_digest and one.run in inside}
        asked = tuple(sorted(seeds if seeds is not None else {run.seed for run in inside}))
        rows = [
            row
            for number, row_spec in enumerate(spec.rows)
            for row in _rows_of(
                row_spec, inside, {path: one for (of, path), one in here.items() if of == number}, asked
            )
        ]
        about = f" ({place} of {len(folds)}: {data['name']}, {data['selection']})" if len(folds) > 1 else ""
        tables.append(_table(spec, spec.title + about, data, asked, rows))
    return tables


def _table(spec: TableSpec, title: str, data: dict[str, Any], seeds: tuple[int, ...], rows: list[Row]) -> Table:
    answers = [row for row in rows if row.runs and row.head is None]
    reference = [row for row in answers if row.experiment == spec.reference]
    return Table(
        title=title,
        note=spec.note,
        data=data,
        seeds=seeds,
        rows=tuple(rows),
        reference=reference[0] if len(reference) == 1 else None,
        single_modality=tuple(row for row in rows if row.head is None and row.experiment in spec.single_modality),
        chance=spec.chance,
    )


def _rows_of(spec: RowSpec, runs: Sequence[Run], scored: dict[Path, ScoredRun], seeds: Sequence[int]) -> list[Row]:
    """The rows of one entry: one for every config that its runs have, seeds aside."""
    known = [run for run in runs if run.experiment == spec.experiment]
    own = [run for run in known if run.folder in scored or run.state != EVALUATED]
    elsewhere = {run.seed: ON_OTHER_CLIPS for run in known if run not in own}
    variants: dict[str, list[Run]] = {"": []} if not own else {}
    for run in own:
        variants.setdefault(digest(run.variant), []).append(run)
    published = PUBLISHED[spec.published] if spec.published is not None else None
    rows = []
    for named, members in _named(list(variants.values())):
        found = _by_seed(members, scored, spec)
        states = elsewhere | {run.seed: run.state for run in members}
        missing = {seed: states.get(seed, NO_RUN) for seed in seeds if seed not in found}
        label = f"{spec.label} [{named}]" if named else spec.label
        rows.append(Row(label, spec.experiment, named, spec.head, published, found, missing))
    return rows


def _named(variants: list[list[Run]]) -> list[tuple[str, list[Run]]]:
    """Groups of runs of one config each, with the values that tell them apart."""
    if len(variants) == 1:
        return [("", variants[0])]
    configs = [members[0].variant for members in variants]
    keys = sorted({key for config in configs for key in config})
    differing = [key for key in keys if len({config.get(key) for config in configs}) > 1]
    names = [", ".join(f"{key}={config.get(key, 'absent')}" for key in differing) for config in configs]
    return sorted(zip(names, variants, strict=True), key=lambda item: item[0])


def _by_seed(members: Sequence[Run], scored: dict[Path, ScoredRun], spec: RowSpec) -> dict[int, ScoredRun]:
    found: dict[int, ScoredRun] = {}
    for run in members:
        if run.folder not in scored:
            continue
        if run.seed in found:
            raise CheckpointError(
                f"{found[run.seed].run.folder} and {run.folder} are both '{spec.experiment}' with seed {run.seed} and "
                "the same config; they differ in what they started from, in their data or in the version of sedcrnn",
                "A row has one run per seed",
                f"Leave one out: leave_out=[{run.folder.name}]; or move it out of the folder of runs",
            )
        found[run.seed] = scored[run.folder]
    return dict(sorted(found.items()))


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation (n - 1) of some seeds; a single one has no spread."""
    return mean(values), stdev(values) if len(values) > 1 else None
