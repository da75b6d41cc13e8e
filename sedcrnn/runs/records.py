"""Run folders that are there: what they say of themselves, in what configs differ, and what a short name means."""

import json
import logging
import os
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sedcrnn.errors import CheckpointError, nearest
from sedcrnn.evaluation import result_names
from sedcrnn.evaluation.result_names import EPOCH, monitor_of
from sedcrnn.runs.files import write_json
from sedcrnn.runs.plain_data import check_plain
from sedcrnn.sweeps.processes import RESULT
from sedcrnn.sweeps.ranks import is_first_process

log = logging.getLogger(__name__)

CONFIG, RECORD, CHECKPOINTS = "config.yaml", "record.json", "checkpoints"
Differences = dict[str, tuple[Any, Any]]


def read_json(path: Path) -> dict[str, Any] | None:
    """A small file that a command wrote; None where there is none, or a broken one, which is told."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        problem = str(error)
    else:
        if isinstance(value, dict):
            return value
        problem = "it holds no keys"
    log.warning("%s cannot be read, and is passed over: %s", path, problem, extra={"once": True})
    return None


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a run folder; None where there is none, or a broken one, which is told."""
    record = read_json(folder / RECORD)
    if record is None:
        return None
    known = {"status": str, "name": str, "seed": int} | ({"finished": str} if is_finished(record) else {})
    if wrong := [key for key, kind in known.items() if not isinstance(record.get(key), kind)]:
        log.warning("%s is passed over: it does not say '%s'", folder / RECORD, wrong[0], extra={"once": True})
        return None
    return record


def read_config(folder: Path) -> dict[str, Any]:
    """The resolved config of a run folder, as plain data, whatever version of the package wrote it.

    Raises:
        CheckpointError: it is missing, or no such config.
    """
    path = folder / CONFIG
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        check_plain(config)
        for part in (config["data"], config["trainer"], config["data"]["source"]):
            dict(part)
        return dict(config)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise CheckpointError(
            f"{path} cannot be read as the config of a run: {' '.join(str(error).split())[:200]}",
            "It is plain YAML that sedcrnn train wrote",
            "Name another run, or remove the folder and train the stage again",
        ) from error


def is_finished(record: dict[str, Any] | None) -> bool:
    """Whether a record is that of a run that was trained to its end."""
    return record is not None and record.get("status") == "finished"


def find_run(name: str, runs: str | Path = "runs") -> Path:
    """The run folder that a name means, which is logged where it is not the name itself: a path; an experiment, or the
    beginning of a run folder's name in `runs`, of which there is one finished run; or `latest`.
    """
    path = Path(name)
    if (path / CHECKPOINTS).is_dir():
        return path
    folder, beginning = (path.parent, path.name) if len(path.parts) > 1 else (Path(runs), name)
    records = {one.parent: read_record(one.parent) for one in sorted(folder.glob(f"*/{RECORD}"))}
    finished = {one: record for one, record in records.items() if record is not None and is_finished(record)}
    if beginning == "latest" and finished:
        found = [max(finished, key=lambda one: (finished[one]["finished"], (one / RECORD).stat().st_mtime_ns))]
    else:
        # The experiment of this name goes before others that begin with it, and seed 1 before seed 10.
        found = (
            [one for one, record in finished.items() if record["name"].replace("/", "-") == beginning]
            or [one for one in finished if f"{one.name}-".startswith(f"{beginning}-")]
            or [one for one in finished if one.name.startswith(beginning)]
        )
    if len(found) > 1:
        raise CheckpointError(
            f"'{name}' may be {', '.join(map(str, found[:6]))}{', ...' if len(found) > 6 else ''}",
            "A name means one finished run",
            f"Give more of it, as {found[0].name.rpartition('-')[0]}",
        )
    if not found:
        names = {one.name.rpartition("-")[0] for one in finished}
        raise CheckpointError(
            f"There is no checkpoint at {name}, and no finished run of that name in {folder}",
            "A run is named by its folder, by a checkpoint file, or by its name in the folder of runs"
            + (f"; the nearest is {nearest(beginning, names)}" if names else ""),
            "Check the name, or train the stage first",
        )
    log.info("'%s' is %s.", name, found[0])
    return found[0]


def report_score(*runs: Path) -> float | None:
    """The mean validation accuracy (in multi-label data mean average precision) of ended runs at their best epochs,
    whichever score selected these, or None of none; also for the sweep whose job this is, if any."""
    records = [record for run in runs if (record := read_record(run)) is not None]
    score = statistics.fmean(record["best"][monitor_of(record["best"])] for record in records) if records else None
    if RESULT in os.environ and is_first_process():
        finished = max((record["finished"] for record in records), default="")
        found = {"score": score, "runs": [str(run) for run in runs], "finished": finished}
        hopeless = any(not is_finished(record) for record in records)
        write_json(Path(os.environ[RESULT]), found | ({"hopeless": True} if hopeless else {}))
    return score


def describe_run(run: Path) -> str:
    """A finished run in a line: the validation scores of its best epoch, which that is, and where it lies."""
    record = read_record(run) or {}
    best = record["best"]
    scores = result_names.in_words(best)
    which = f"best of {record['epochs']} epochs is epoch {best[EPOCH]}" if record["epochs"] else "nothing was trained"
    return f"{record['name']}: {which} (validation: {scores}), in {run}"


def differences(old: Any, new: Any, prefix: str = "") -> Differences:
    """Dotted key -> (old value, new value) wherever two nested configs differ; lists and tuples are values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found: Differences = {}
        for key in {**old, **new}:
            name = f"{prefix}.{key}" if prefix else str(key)
            found |= differences(old.get(key, "(absent)"), new.get(key, "(absent)"), name)
        return found
    same = list(old) == list(new) if isinstance(old, list | tuple) and isinstance(new, list | tuple) else old == new
    return {} if same else {prefix: (old, new)}


def in_words(found: Differences) -> str:
    """The first three differences in one line: `recipe.mixup_alpha: 0.4 -> 0.3; seed: 1 -> 2`."""
    shown = [f"{key}: {_short(old)} -> {_short(new)}" for key, (old, new) in list(found.items())[:3]]
    return "; ".join(shown) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
