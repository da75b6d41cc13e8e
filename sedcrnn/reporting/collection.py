"""runs/ -> its run folders, each with what it holds for the report, or what it lacks."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sedcrnn.config.stage_config import without_places
from sedcrnn.errors import CheckpointError, nearest
from sedcrnn.evaluation.fold_scores import EVALUATION, FORM, LATENCY, METRICS, PREDICTIONS, ROBUSTNESS
from sedcrnn.runs.run_folder import read_record

EVALUATED = "evaluated"
VALIDATION = "validation"

# Keys of a config in which the runs of one row may differ: what tells seeds apart, or names the row's table.
_NOT_OF_THE_ROW = {"name", "seed", "data"}
_OF_THE_DATA = {"source", "selection", "validation_seed"}


@dataclass(frozen=True)
class Run:
    """One run folder.

    Attributes:
        folder: where it lies.
        fold: the fold that is reported.
        record: record.json.
        config: config.yaml without the keys that results do not depend on.
        metrics: metrics.json of the fold; None unless it is there, in today's form.
        state: `EVALUATED`, or what it lacks.
    """

    folder: Path
    fold: str
    record: dict[str, Any]
    config: dict[str, Any]
    metrics: dict[str, Any] | None
    state: str

    @property
    def experiment(self) -> str:
        """Its name, that of the file in experiments/."""
        return str(self.record["name"])

    @property
    def seed(self) -> int:
        """Of its training."""
        return int(self.record["seed"])

    @property
    def data(self) -> dict[str, Any]:
        """What its data are called, where they come from, and the protocol that selects checkpoints on them."""
        return {
            "name": self.record["inputs"]["data"]["name"],
            "source": self.config["data"]["source"],
            "selection": self.record["selection"],
        }

    @property
    def variant(self) -> dict[str, str]:
        """What may tell it from other runs of its experiment beside the seed: dotted keys of its config."""
        data = {key: value for key, value in self.config["data"].items() if key not in _OF_THE_DATA}
        own = {key: value for key, value in self.config.items() if key not in _NOT_OF_THE_ROW}
        encoder = self.record["inputs"]["init_from"].get("encoder")  # the same file for every seed
        return dict(_flat({"data": data, **own, "init_from": {"encoder": encoder}}))

    def predictions(self, fold: str) -> Path | None:
        """The predictions of a fold that was evaluated with the weights of the reported one; None: there are none."""
        folder = self.folder / EVALUATION / fold
        metrics = _read_json(folder / METRICS)
        if metrics is None or self.metrics is None:
            return None
        same = {**self.metrics["of"], "fold": fold} == metrics["of"]
        return folder / PREDICTIONS if same else None

    def latency(self) -> dict[str, Any] | None:
        """latency.json, where it is."""
        return _read_json(self.folder / EVALUATION / LATENCY)

    def robustness(self) -> dict[str, Any] | None:
        """robustness.json of the fold, where it is: what the heads score when inputs are missing or corrupted.

            {"conditions": {"<condition>": {"<head>": {"macro_accuracy": 0.5, "macro_log_loss": 1.2}}},
             "confidence_rises": {"<condition>": {"<head>": 0.1}},
             "batch_invariance": {"largest_difference": 1e-7}}

        Conditions are shown by their names, in their order; scores are of 1-s windows. `confidence_rises`, which may
        be absent, is the share of windows in which the probability of the likeliest scene rises under the condition.
        """
        return _read_json(self.folder / EVALUATION / self.fold / ROBUSTNESS)


def collect(runs: Path, fold: str, leave_out: Iterable[str] = ()) -> list[Run]:
    """All run folders in a folder, by experiment and seed.

    Args:
        runs: the folder.
        fold: that is reported.
        leave_out: names of run folders that are not to be looked at.

    Raises:
        CheckpointError: there are none, one cannot be read, or one that is to be left out is not there.
    """
    folders = [path.parent for path in sorted(runs.glob("*/record.json"))]
    names = [folder.name for folder in folders]
    for name in leave_out:
        if name not in names:
            raise CheckpointError(
                f"leave_out names '{name}', which is no run folder in {runs}",
                f"The nearest is {nearest(name, names)}",
                "Correct the name",
            )
    found = [_read_run(folder, fold) for folder in folders if folder.name not in set(leave_out)]
    if not found:
        raise CheckpointError(
            f"There are no run folders in {runs}" + ("" if runs.is_dir() else ", which does not exist"),
            "It holds <name>-s<seed>-<key>/record.json for every run",
            "Train first (python -m sedcrnn.pipeline), or name another folder: runs=<folder>",
        )
    return sorted(found, key=lambda run: (run.experiment, run.seed, run.folder.name))


def _read_run(folder: Path, fold: str) -> Run:
    try:
        record = read_record(folder)
        assert record is not None
        config = without_places(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")))
        metrics = _read_json(folder / EVALUATION / fold / METRICS)
        state = _state(record, metrics, fold)
        run = Run(folder, fold, record, config, metrics if state == EVALUATED else None, state)
        _ = run.seed, run.experiment, run.data, run.variant  # what is missing is told here, not later
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise CheckpointError(
            f"{folder} cannot be read as a run: {type(error).__name__}: {str(error).splitlines()[0]}",
            "It holds record.json, config.yaml and evaluation/ as sedcrnn wrote them",
            f"Restore its files, train it again, or report without it: leave_out=[{folder.name}]",
        ) from error
    return run


def _state(record: dict[str, Any], metrics: dict[str, Any] | None, fold: str) -> str:
    if record["status"] != "finished":
        return "unfinished"
    if metrics is None:
        return f"not evaluated on the {fold} fold"
    if metrics["of"]["form"] != FORM:
        return "evaluated by another version; evaluate it again"
    return EVALUATED


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}", "It is a JSON file, whole", "Remove it, and evaluate the run again"
        ) from error
    return content


def _flat(node: Any, prefix: str = "") -> Iterable[tuple[str, str]]:
    """Every value below a node, by its dotted key."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, "null" if node is None else str(node)
