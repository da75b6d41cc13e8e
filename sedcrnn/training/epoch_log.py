"""Values of an epoch -> a row of the run folder's metrics.csv, and a line for who watches."""

import csv
from argparse import Namespace
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger

from sedcrnn.evaluation.metrics import CHECKPOINT_MONITOR, EPOCH, PLATEAU_MONITOR, TRAIN_LOSS
from sedcrnn.runs.files import write_text
from sedcrnn.runs.run_folder import say
from sedcrnn.sweeps.ranks import is_first_process


class EpochLog(Logger):
    """Lightning's logger of `metrics.csv`: one row per epoch, rewritten atomically; a resumed run goes on in it.

    Lightning's own CSVLogger deletes the file of an earlier run in the same folder. Each epoch is told as well, since
    progress bars leave nothing in the logs of sweeps and clusters.

    Args:
        save_dir: where `metrics.csv` goes.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__()
        self.path = Path(save_dir) / "metrics.csv"
        self.rows: dict[int, dict[str, Any]] = {}
        if self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as file:
                self.rows = {int(row[EPOCH]): dict(row) for row in csv.DictReader(file)}

    @property
    def name(self) -> str:
        """The name of this kind of logger."""
        return "csv"

    @property
    def version(self) -> str:
        """There is one log per run folder."""
        return ""

    @property
    def experiment(self) -> None:
        """Nothing to expose beyond the file."""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The run folder's config.yaml holds them."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add values to their epoch's row and write the file; a repeated epoch replaces its own values."""
        if not is_first_process():
            return
        values = dict(metrics)
        epoch = int(values.pop(EPOCH))
        # A resumed run makes the epochs after its checkpoint again.
        self.rows = {number: row for number, row in self.rows.items() if number <= epoch}
        self.rows.setdefault(epoch, {EPOCH: epoch}).update({"step": step, **values})
        columns = [
            EPOCH,
            "step",
            *sorted({key for row in self.rows.values() for key in row} - {EPOCH, "step"}),
        ]
        lines = [",".join(columns)]
        lines += [",".join(str(row.get(column, "")) for column in columns) for _, row in sorted(self.rows.items())]
        write_text(self.path, "\n".join(lines) + "\n")
        if TRAIN_LOSS in values:  # which come last
            say(f"{datetime.now():%H:%M:%S} {_in_words(self.rows[epoch])}")


def _in_words(row: Mapping[str, Any]) -> str:
    """Values of an epoch -> its number, what was minimised, and what selects the checkpoint and steers the rate."""
    return (
        f"epoch {row[EPOCH]}: loss {row[TRAIN_LOSS]:.3f}; "
        f"validation: macro accuracy {100 * row[CHECKPOINT_MONITOR]:.1f} %, log loss {row[PLATEAU_MONITOR]:.3f}"
    )
