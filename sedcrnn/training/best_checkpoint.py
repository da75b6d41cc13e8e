"""The weights of the best epoch by validation -> best.ckpt; everything to go on with -> last.ckpt."""

from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from sedcrnn.evaluation.result_names import ACCURACY, EPOCH, PLATEAU_MONITOR, monitor_of

WINDOW_ACCURACY = f"validation/{ACCURACY}"

Scores = dict[str, float]


class BestCheckpoint(Checkpoint):
    """Keeps the checkpoint of the epoch with the best macro accuracy (`select_by="accuracy"`; in multi-label data it is
    the mean average precision) or the lowest log loss on validation; the other score decides between equal ones, and
    then the earlier epoch. As in the authors' code it is that of the best accuracy over windows, the earlier of equal
    ones (`window_accuracy`), or of the `last` epoch.

    What was best so far goes into last.ckpt, so that it belongs to the run: Lightning's `ModelCheckpoint` forgets it
    where the run folder has moved.

    Attributes:
        best: the scores and the epoch, counted from 1; empty before the first.
    """

    def __init__(self, path: Path, select_by: str) -> None:
        self.path, self.select_by = path, select_by
        self.best: Scores = {}

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Save the epoch that has ended, if it is the best."""
        scores = validation_scores(trainer)
        if self.select_by == "window_accuracy":
            scores[WINDOW_ACCURACY] = trainer.callback_metrics[WINDOW_ACCURACY].item()
        is_better = self.select_by == "last" or not self.best or self._rank(scores) > self._rank(self.best)
        if trainer.strategy.reduce_boolean_decision(is_better):  # all processes save, or none
            self.best = {**scores, EPOCH: trainer.current_epoch + 1}
            trainer.save_checkpoint(self.path, weights_only=True)

    def _rank(self, scores: Scores) -> tuple[float, ...]:
        """Greater is better."""
        if self.select_by == "window_accuracy":
            return (scores[WINDOW_ACCURACY],)
        accuracy, log_loss = scores[monitor_of(scores)], scores[PLATEAU_MONITOR]
        gain = -log_loss if log_loss == log_loss else float("-inf")  # nan compares with nothing
        return (accuracy, gain) if self.select_by == "accuracy" else (gain, accuracy)

    def state_dict(self) -> dict[str, Any]:
        """What was best so far."""
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.best = state["best"]


class LastCheckpoint(Checkpoint):
    """Keeps the checkpoint that a killed run goes on from. The last of all callbacks, at the very end of an epoch, when
    the module has stepped its schedule: a resumed run misses nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Save the epoch that has ended."""
        trainer.save_checkpoint(self.path, weights_only=False)


def validation_scores(trainer: Trainer) -> Scores:
    """Macro accuracy (mean average precision in multi-label data) and log loss of the last validation, under the names
    that they are logged by."""
    logged = trainer.callback_metrics
    return {name: logged[name].item() for name in (monitor_of(logged), PLATEAU_MONITOR)}
