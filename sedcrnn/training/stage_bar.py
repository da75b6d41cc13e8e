"""One bar for a whole training, with the time that is left of it; a log has the lines of `loggers.EpochLog` instead."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar

from sedcrnn.evaluation.result_names import PLATEAU_MONITOR
from sedcrnn.progress import in_a_log, progress


class StageBar(ProgressBar):
    """Batches of all epochs of a stage; epochs count from 1."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.bar: Any = None

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Begin after the epochs of an interrupted run."""
        batches, epochs = trainer.num_training_batches, trainer.max_epochs or 0
        self.bar = progress(
            about=self.name,
            total=int(batches * epochs),
            initial=int(batches * trainer.current_epoch),
            unit="batch",
            smoothing=0,
            leave=False,
            disable=in_a_log(),
        )

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Say which epoch it is, and how good the one before was."""
        loss = trainer.callback_metrics.get(PLATEAU_MONITOR)
        before = "" if loss is None else f", validation log loss {loss:.3f}"
        self.bar.set_postfix_str(f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}{before}", refresh=False)

    def on_train_batch_end(self, *arguments: Any) -> None:
        """Go on by a batch."""
        self.bar.update()

    def on_train_end(self, *arguments: Any) -> None:
        """Remove it."""
        self.bar.close()

    def on_exception(self, *arguments: Any) -> None:
        """Remove it, so that the message stands alone."""
        if self.bar is not None:
            self.bar.close()

    def disable(self) -> None:
        """Lightning's wish for all processes but the first, which `progress` has fulfilled."""
