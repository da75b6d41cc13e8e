"""runs/ -> its run folders, each with what it holds for the report, or what it lacks."""

import csv
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sedcrnn.config.checking import digest
from sedcrnn.config.stage_config import without_places
from sedcrnn.datasets.folds import city_in_name
from sedcrnn.errors import CheckpointError, nearest
from sedcrnn.evaluation.result_names import EVALUATION, LATENCY, METRICS, POOL, SCHEMA_VERSION, is_whole
from sedcrnn.runs.records import RECORD, is_finished, read_config, read_json, read_record

log = logging.getLogger(__name__)

FOLD, VALIDATION = "test", "validation"
EVALUATED = "evaluated"
EPOCHS = "metrics.csv"
OWN_DATA = ("folder", "manifest")  # names of data sets that are a user's own recordings

# Keys of a config in which the runs of one row may differ: they distinguish seeds, or name the row's table.
_NOT_OF_THE_ROW = {"name", "seed", "data"}
_OF_THE_DATA = {"source", "selection", "validation_seed"}
_HELD_OUT = {"data.held_out", "data.leave_out_city"}


@dataclass(frozen=True)
class ReportedRun:
    """One run folder."""

    folder: Path
    experiment: str  # name of the file in conf/experiment/
    seed: int
    state: str  # `EVALUATED`, or what it lacks
    record: dict[str, Any]  # record.json
    config: dict[str, Any]  # config.yaml without the keys that results do not depend on
    metrics: dict[str, Any]  # metrics.json of the test fold; empty where the state is not `EVALUATED`
    data: dict[str, Any]  # name and source of its data, and the protocol that selects checkpoints on them
    data_set: str  # what its data are called: own recordings by the name of their folder
    own_recordings: bool
    variant: dict[str, str]  # its config by dotted keys, without what seeds and tables differ in

    @property
    def folds(self) -> list[dict[str, Any]]:
        """Of pooled results, the runs whose predictions they are of, in order; empty for a run."""
        return list(self.record.get("folds", []))

    @property
    def metrics_file(self) -> Path:
        """Where `metrics` stand."""
        return self.folder / EVALUATION / FOLD / METRICS

    def read(self, *path: str) -> dict[str, Any]:
        """A JSON file of its evaluation; empty where there is none, or a broken one."""
        return read_json(self.folder.joinpath(EVALUATION, *path)) or {}

    @property
    def latency(self) -> dict[str, Any]:
        """What was measured of its network's speed; empty where nothing was."""
        found = self.read(LATENCY)
        return found if {"milliseconds", "device", "threads"} <= found.keys() else {}

    def epochs(self) -> dict[str, list[float]]:
        """The columns of metrics.csv, NaN where an epoch has no value; empty where there is no such file."""
        path = self.folder / EPOCHS
        if not path.is_file():
            return {}
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            return {name: [float(row[name] or "nan") for row in rows] for name in (rows[0] if rows else ())}
        except (ValueError, TypeError) as error:
            raise CheckpointError(
                f"{path} cannot be read: {error}", "It has a row of numbers per epoch", f"Remove {path}"
            ) from error


def collect(runs: Path, leave_out: Iterable[str] = ()) -> list[ReportedRun]:
    """All run folders in a folder, by experiment and seed, but those whose names are left out, and those that cannot be
    read, which are told.

    Raises:
        CheckpointError: there are none, or one that is to be left out is not there.
    """
    written = [*runs.glob(f"*/{RECORD}"), *runs.glob(f"*/{POOL}")]
    folders = {path.parent.name: path.parent for path in sorted(written)}
    for name in leave_out:
        if name not in folders:
            raise CheckpointError(
                f"leave_out names '{name}', which is no run folder in {runs}",
                f"The nearest is {nearest(name, folders)}",
                "Correct the name",
            )
    found = []
    for name, folder in folders.items():
        if name not in set(leave_out):
            try:
                found.append(_read_run(folder))
            except CheckpointError as error:
                log.warning("%s", error)
    if not found:
        raise CheckpointError(
            f"There are no run folders in {runs}" + ("" if runs.is_dir() else ", which does not exist"),
            "It holds <name>-s<seed>-<key>/record.json for every run",
            "Train first (sedcrnn pipeline), or name another folder: runs=<folder>",
        )
    return _without_pooled(sorted(found, key=lambda run: (run.experiment, run.seed, run.folder.name)))


def _without_pooled(runs: Sequence[ReportedRun]) -> list[ReportedRun]:
    """The runs, of which those whose predictions stand in pooled results have no place of their own any more."""
    pooled = {fold["key"]: run.folder.name for run in runs for fold in run.folds if run.state == EVALUATED}
    return [
        replace(run, state=f"evaluated, and part of {pooled[key]}", metrics={})
        if run.state == EVALUATED and (key := run.record.get("key")) in pooled
        else run
        for run in runs
    ]


def missing_folds(runs: Iterable[ReportedRun]) -> list[str]:
    """Sentences on runs that hold out a fold each, or a city, and are no whole: experiment, seed, and what is missing.
    A single city that is left out may be all that was wanted: of that nothing is said."""
    there: dict[tuple[str, int, str], list[ReportedRun]] = {}
    for run in runs:
        if run.state == EVALUATED and (parts := _parts(run)):
            others = {key: value for key, value in run.variant.items() if key not in _HELD_OUT}
            whole = digest([others, run.data["source"], parts])
            there.setdefault((run.experiment, run.seed, whole), []).append(run)
    sentences = []
    for (experiment, seed, _), found in there.items():
        parts, folds = _parts(found[0]), found[0].config["data"].get("folds")
        held_out = {str(run.config["data"]["held_out" if folds else "leave_out_city"]) for run in found}
        if folds or len(held_out) > 1:
            kind, command = ("folds", f"folds={folds}") if folds else ("cities", "data.leave_out_city=all")
            absent = ", ".join(part for part in parts if part not in held_out)
            missing = f" (missing: {absent})" if absent else ""
            sentences.append(
                f"{experiment}, seed {seed}: {len(held_out)} of {len(parts)} {kind}{missing}, each shown by itself. "
                f"They are no result of the whole before the pipeline has ended: sedcrnn pipeline with {command}"
            )
    return sentences


def _parts(run: ReportedRun) -> tuple[str, ...]:
    """All that is held out in turn where this run holds out one: the numbers of folds, or the cities; empty where it
    holds out neither, is of all of them, or is older than records that list the cities."""
    data = run.config["data"]
    if run.folds:
        return ()
    if data.get("folds"):
        return tuple(map(str, range(1, data["folds"] + 1)))
    return tuple(run.record.get("cities", ())) if data.get("leave_out_city") else ()


def _read_run(folder: Path) -> ReportedRun:
    try:
        record = read_record(folder) or read_json(folder / POOL) or {}
        written = read_config(folder)
        config = without_places(written)
        metrics = read_json(folder / EVALUATION / FOLD / METRICS) or {}
        state = _state(record, metrics)
        inputs, data = record["inputs"], config["data"]
        pooled, city = record.get("pooled"), city_in_name(data.get("leave_out_city"))
        name = inputs["data"]["name"].removesuffix(city)
        own = name in OWN_DATA
        fold = f", fold {data['held_out']} of {data['folds']}" if data.get("folds") else ""
        of_the_row = {
            "data": {key: value for key, value in data.items() if key not in _OF_THE_DATA},
            **{key: value for key, value in config.items() if key not in _NOT_OF_THE_ROW},
            # The same for every seed, unlike the runs.
            "init_from": {path: found for path, found in inputs["init_from"].items() if path.endswith("encoder")},
        }
        return ReportedRun(
            folder=folder,
            experiment=str(record["name"]),
            seed=int(record["seed"]),
            state=state,
            record=record,
            config=config,
            metrics=metrics if state == EVALUATED else {},
            data={
                "name": inputs["data"]["name"],
                "source": data["source"],
                "selection": record["selection"],
                **({"pooled": pooled, "folds_seed": data["folds_seed"]} if pooled else {}),
            },
            data_set=(Path(written["data"]["root"]).absolute().name if own else name)
            + (f", {pooled}" if pooled else fold or city),
            own_recordings=own,
            variant=dict(_flat(of_the_row)),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{folder} is left out, for it cannot be read as a run: {type(error).__name__}: {error}",
            "It holds record.json, config.yaml and evaluation/ as sedcrnn wrote them",
            "Restore its files, or train it again",
        ) from error


def _state(record: dict[str, Any], metrics: dict[str, Any]) -> str:
    if not is_finished(record):
        return "unfinished"
    if not metrics:
        return f"not evaluated on the {FOLD} fold"
    if isinstance(metrics.get("of"), dict) and metrics["of"].get("schema_version") != SCHEMA_VERSION:
        return "evaluated by another version; evaluate it again"
    return EVALUATED if is_whole(metrics) else "evaluated, and its metrics.json is damaged; evaluate it again"


def _flat(node: Any, prefix: str = "") -> Iterable[tuple[str, str]]:
    """Every value below a node, by its dotted key."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, "null" if node is None else str(node)
