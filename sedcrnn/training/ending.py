"""A training that a signal ends, alone or with the other processes of a distributed run."""

from pytorch_lightning import Callback, LightningModule, Trainer

from sedcrnn import signals


class EndBySignals(Callback):
    """Lets `signals` decide how a training ends. Lightning's own handler of SIGTERM waits in a collective for processes
    that may be gone, and its observer of the processes that it started kills this one without a word."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take over what Lightning has set up just before."""
        signals.handle_signals()
        processes = getattr(trainer.strategy.launcher, "procs", [])
        signals.adopt(list(processes))
        processes.clear()  # the observer's list, too, which has then nothing left to see
