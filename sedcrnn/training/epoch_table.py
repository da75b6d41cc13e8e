"""Values of an epoch -> its row in metrics.csv, and a line in the log."""

import csv
import io
import logging
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from sedcrnn.evaluation import result_names as names
from sedcrnn.progress import time_in_words
from sedcrnn.runs.files import write_text
from sedcrnn.sweeps.ranks import is_first_process

log = logging.getLogger(__name__)

BETWEEN_LINES = 5.0  # seconds between the lines of two epochs

Row = dict[str, Any]


class EpochTable(Checkpoint):
    """`metrics.csv`: one row per epoch, with every value that was logged in it.

    The rows go into last.ckpt as well, from which a resumed run writes the file anew: so it is that of an uninterrupted
    run, wherever between its two files a run was killed. Loggers of Lightning hear of an epoch only after that.

    Epochs are logged as lines as well, since progress bars leave nothing in the logs of sweeps and clusters: the first
    and the last, and of quick ones between them one every few seconds. Lines count epochs from 1, and the column
    `epoch`, Lightning's, from 0.
    """

    def __init__(self, path: Path, epochs: int) -> None:
        self.path, self.epochs = path, epochs
        self.rows: list[Row] = []
        self.first: int | None = None  # epoch that this process has trained
        self.untold = ""
        self.began = self.told = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what was there at the checkpoint that a run goes on from."""
        self.began = time.monotonic()
        if self.rows:
            self._write()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the row of the epoch that has ended."""
        self._add(trainer, trainer.global_step - 1)
        epoch = trainer.current_epoch
        is_first = self.first is None
        self.first = epoch if self.first is None else self.first
        self.untold = f"{datetime.now():%H:%M:%S} {self._line(self.rows[-1], self.first)}"
        if is_first or time.monotonic() - self.told >= BETWEEN_LINES:
            self._tell()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the only row of a network that has nothing to train."""
        if trainer.state.fn == "validate":
            self._add(trainer, 0)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the last epoch, of which nobody knew that it would be the last."""
        self._tell()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """As at the end."""
        self._tell()

    def state_dict(self) -> dict[str, Any]:
        """The rows up to here."""
        return {"csv": self._text()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.rows = list(csv.DictReader(io.StringIO(state["csv"])))

    def _add(self, trainer: Trainer, step: int) -> None:
        values = {name: value.item() for name, value in trainer.callback_metrics.items()}
        self.rows.append({names.EPOCH: trainer.current_epoch, "step": step, **values})
        self._write()

    def _write(self) -> None:
        if is_first_process():
            write_text(self.path, self._text())

    def _text(self) -> str:
        own = [names.EPOCH, "step"]
        columns = [*own, *sorted({name for row in self.rows for name in row} - set(own))]
        lines = [columns, *([str(row.get(column, "")) for column in columns] for row in self.rows)]
        return "".join(",".join(line) + "\n" for line in lines)

    def _tell(self) -> None:
        if self.untold:
            log.info(self.untold)
        self.untold, self.told = "", time.monotonic()

    def _line(self, row: Row, first: int) -> str:
        loss, scores = f"{row[names.TRAIN_LOSS]:.3f}", names.in_words(row)
        number = row[names.EPOCH] + 1
        left = (time.monotonic() - self.began) / (number - first) * (self.epochs - number)
        ending = f"; about {time_in_words(left)} left" if number < self.epochs else ""
        return f"epoch {number} of {self.epochs}: loss {loss}; validation: {scores}{ending}"
