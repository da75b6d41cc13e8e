"""Jobs of a sweep that are unlikely to win -> ended early, by what its finished runs had at the same epoch."""

import csv
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from sedcrnn.errors import HopelessRunError
from sedcrnn.evaluation.result_names import monitor_of
from sedcrnn.runs.records import is_finished, read_json, read_record
from sedcrnn.runs.run_folder import Run
from sedcrnn.sweeps.processes import RESULT

log = logging.getLogger(__name__)

Curves = dict[Path, list[float]]
"""Finished runs of a sweep -> their validation scores by epoch; none of a run of another experiment or other data."""


class EndHopeless(Callback):
    """Ends a training whose best validation score so far is lower than the median of what the finished runs of its
    sweep had as their best by that epoch (the median stopping rule of Golovin et al. 2017, doi
    10.1145/3097983.3098043, which is Optuna's MedianPruner). Compared are runs of one experiment on the same data.

    A run that was ended so is not finished: the same config goes on with it where this callback is left out.

    Args:
        startup_runs: finished runs that there have to be.
        warmup_epochs: epochs that are trained in any case.

    Attributes:
        hopeless: whether it has ended the training.
    """

    def __init__(self, startup_runs: int = 5, warmup_epochs: int = 5) -> None:
        self.startup_runs, self.warmup_epochs = startup_runs, warmup_epochs
        self.best: float | None = None
        self.hopeless = False
        self._curves: Curves = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge a run that goes on before it trains another epoch."""
        if RESULT not in os.environ:
            log.warning("%s compares the jobs of a sweep, and has no effect on a single run.", type(self).__name__)
        self._judge(trainer, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the epochs up to the one that has ended."""
        logged = trainer.callback_metrics
        value = logged[monitor_of(logged)].item()
        self.best = value if self.best is None else max(self.best, value)
        self._judge(trainer, trainer.current_epoch + 1)

    def _judge(self, trainer: Trainer, epochs: int) -> None:
        lower = False
        if self.best is not None and epochs >= self.warmup_epochs:
            others = finished_scores(Path(trainer.default_root_dir), epochs, self._curves)
            lower = len(others) >= self.startup_runs and self.best < median(others)
        # Another process may have seen fewer finished runs.
        self.hopeless = trainer.strategy.reduce_boolean_decision(lower, all=False)
        trainer.should_stop = trainer.should_stop or self.hopeless

    def state_dict(self) -> dict[str, Any]:
        """The best so far."""
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.best = state["best"]


def finished_scores(run: Path, epochs: int, curves: Curves) -> list[float]:
    """What the finished runs of this job's sweep, of the same experiment and data as `run`, had as their best
    validation score after so many epochs, or when they ended. `curves` are those that were read before, to which new
    ones are added: a finished run does not change, and is read once."""
    own = read_record(run)
    if own is None or RESULT not in os.environ:
        return []
    others = list(_runs_of(Path(os.environ[RESULT]).parents[1]))
    for other in others:
        record = None if other in curves else read_record(other)
        if record is not None and is_finished(record):
            curves[other] = _curve(other) if _compared_by(record) == _compared_by(own) else []
    return [max(curve[:epochs]) for other in others if (curve := curves.get(other))]


def _curve(run: Path) -> list[float]:
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return [float(row[monitor_of(row)]) for row in csv.DictReader(file)]


def _runs_of(sweep: Path) -> Iterator[Path]:
    """The runs that jobs of a sweep have handed back."""
    for result in sweep.glob("*/result.json"):
        yield from map(Path, (read_json(result) or {}).get("runs", []))


def _compared_by(record: dict[str, Any]) -> tuple[object, object]:
    return record["name"], record["inputs"]["data"]


def check_hopeless(run: Run, callbacks: Sequence[Callback], best: dict[str, float], **so_far: Any) -> None:
    """Leave a run that a callback has ended as it is.

    Raises:
        HopelessRunError: it was ended; its record has the scores so far.
    """
    if any(isinstance(each, EndHopeless) and each.hopeless for each in callbacks):
        run.finish(best, status="hopeless", **so_far)
        raise HopelessRunError(
            f"{run.config.name} was ended after {so_far['epochs']} epochs, for it lies below the median of its sweep",
            "callbacks=end_hopeless ends the jobs of a sweep that are unlikely to win",
            f"Nothing is lost: the same command without it goes on with {run.folder}",
            run.folder,
        )
