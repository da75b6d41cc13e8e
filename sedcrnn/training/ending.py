"""A training that a signal ends, alone or with the other processes of a distributed run."""

from collections.abc import Sequence
from subprocess import Popen
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from sedcrnn import signals


class EndBySignals(Callback):
    """Lets `signals` decide how a training ends. Lightning's own handler of SIGTERM waits in a collective for processes
    that may be gone, and its observer of the processes that it started kills this one without a word."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the processes from the observer, which is left with an empty list."""
        launcher: Any = trainer.strategy.launcher
        if observed := getattr(launcher, "procs", []):
            launcher.procs = list(observed)
            observed.clear()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals from Lightning's handler, which has just been set."""
        signals.handle_signals()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """As when a training starts."""
        signals.handle_signals()


def adopt_processes(trainer: Trainer) -> None:
    """Let the processes that a trainer starts, as soon as it does, end with this one."""

    def started() -> Sequence[Popen[bytes]]:
        return getattr(trainer.strategy.launcher, "procs", ())

    signals.adopt(started)
