"""Values of an epoch -> metrics.csv, and Weights & Biases or TensorBoard where `logger` asks for one.

Curves have one axis, the epoch (`evaluation.metrics.EPOCH`). A logger gets its run folder and finds in it what it
needs: the resolved config, and the W&B run that a resumed training goes on with.
"""

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.loggers.logger import Logger

from sedcrnn.config.targets import build
from sedcrnn.errors import ConfigError, import_extra
from sedcrnn.evaluation.metrics import EPOCH
from sedcrnn.plotting.input_figure import draw_confusion
from sedcrnn.runs.checkpoints import network_kind
from sedcrnn.runs.files import write_text
from sedcrnn.runs.run_folder import read_config
from sedcrnn.sweeps.ranks import is_first_process
from sedcrnn.training.epoch_log import EpochLog
from sedcrnn.training.showcase import BEST_SCORES, CLASS_WISE, CONFUSION, EXAMPLES_HEARD, EXAMPLES_SEEN, Showcase

WANDB_ID = "wandb_id"
"""File of the run folder that holds the id of its W&B run."""


def make_loggers(nodes: Mapping[str, Any], folder: Path) -> list[Logger]:
    """What writes down the training in a run folder: metrics.csv always, and what `config.logger` names.

    Raises:
        MissingExtraError: the logger's package is not installed.
        ConfigError: W&B is to be online, and no key is known.
    """
    return [EpochLog(str(folder)), *(build(node, "logger", save_dir=str(folder)) for node in nodes.values() if node)]


def check_loggers(nodes: Mapping[str, Any]) -> None:
    """Refuse a logger that could not begin, before anything takes long; raises what `make_loggers` does."""
    for node in filter(None, nodes.values()):
        build(node, "logger", save_dir=".")  # writes nothing yet


class WandbLog(Logger):
    """The run on Weights & Biases: group = experiment, job type = kind of network, name = run folder's name.

    Lightning's own logger counts in optimiser steps, and leaves its run open for the next training of the process.

    Args:
        save_dir: the run folder; W&B's files go to `wandb/` in it.
        project: of W&B.
        entity: user or team; None: the user's default.
        offline: write files alone; `wandb sync <run folder>/wandb/offline-run-*` sends them later.
        tags: words to find the run by, beside its selection protocol.

    Raises:
        MissingExtraError: wandb is not installed.
        ConfigError: it is to be online, and no key is known.
    """

    def __init__(
        self,
        save_dir: str,
        project: str,
        entity: str | None = None,
        offline: bool = True,
        tags: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.folder, self.project, self.entity = Path(save_dir), project, entity
        self.offline, self.tags = offline, tags
        self.wandb = import_wandb("logger=wandb needs")
        self._run: Any = None
        if not offline and is_first_process():
            check_key(self.wandb, "set logger.offline=true")

    @property
    def name(self) -> str:
        """W&B's project."""
        return self.project

    @property
    def version(self) -> str | None:
        """Id of the W&B run; None before it has begun for the first time."""
        file = self.folder / WANDB_ID
        return file.read_text(encoding="utf-8").strip() if file.is_file() else None

    @property
    def experiment(self) -> Any:
        """The W&B run: begun, or gone on with, when it is first asked for."""
        if self._run is None:
            config = read_config(self.folder)
            self._run = self.wandb.init(
                dir=str(self.folder),
                project=self.project,
                entity=self.entity,
                mode="offline" if self.offline else "online",
                id=self._id(),
                resume=None if self.offline else "allow",  # offline, files of one id are joined when they are sent
                name=self.folder.name,
                group=config["name"],
                job_type=network_kind(config["model"]["network"]),
                config=config,
                tags=[config["data"]["selection"], *self.tags],
                reinit="finish_previous",
            )
            self._run.define_metric("*", step_metric=EPOCH)
        return self._run

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The resolved config, which goes to W&B when the run begins, holds them."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send the values of an epoch, which is among them."""
        if is_first_process():
            self.experiment.log(dict(metrics))

    def show(self, showcase: Showcase) -> None:
        """Send confusion matrix, class-wise table, example clips, and the best scores as the run's summary."""
        wandb, run = self.wandb, self.experiment
        confusion = wandb.plot.confusion_matrix(
            y_true=showcase.true, preds=showcase.predicted, class_names=list(showcase.scenes), title=CONFUSION
        )
        heard = [
            wandb.Audio(example.sound, sample_rate=example.sample_rate, caption=example.caption)
            for example in showcase.examples
            if example.sound is not None
        ]
        run.log(
            {
                EPOCH: showcase.epoch,
                CONFUSION: confusion,
                CLASS_WISE: wandb.Table(columns=list(showcase.columns), data=showcase.class_wise()),
                # Not in a table: wandb would keep their files outside the run folder.
                EXAMPLES_SEEN: [wandb.Image(example.draw(), caption=example.caption) for example in showcase.examples],
                **({EXAMPLES_HEARD: heard} if heard else {}),
            }
        )
        run.summary.update({f"{BEST_SCORES}/{name}": value for name, value in showcase.scores().items()})

    def finalize(self, status: str) -> None:
        """End the W&B run, so that the next training of this process begins its own."""
        if self._run is not None:
            self._run.finish(exit_code=0 if status == "success" else 1)
            self._run = None

    def _id(self) -> str:
        """Of the W&B run, kept in the run folder; an agent of a W&B sweep sets the id itself."""
        given = os.environ.get("WANDB_RUN_ID") or self.version or secrets.token_hex(8)
        write_text(self.folder / WANDB_ID, f"{given}\n")
        return given


class TensorBoardLog(TensorBoardLogger):
    """TensorBoard's files in `tensorboard/` of the run folder: `tensorboard --logdir runs` compares all runs.

    Args:
        save_dir: the run folder.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """

    def __init__(self, save_dir: str) -> None:
        import_extra("tensorboard", "tensorboard", "logger=tensorboard needs")
        super().__init__(save_dir, name="", version="tensorboard", default_hp_metric=False)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write the values of an epoch at that epoch."""
        values = dict(metrics)
        super().log_metrics(values, step=int(values.pop(EPOCH)))

    def show(self, showcase: Showcase) -> None:
        """Write confusion matrix, class-wise table and example clips at the best epoch."""
        writer, epoch = self.experiment, showcase.epoch
        writer.add_figure(CONFUSION, draw_confusion(showcase.answer["confusion"], showcase.scenes), epoch)
        rows = [showcase.columns, ["---"] * len(showcase.columns), *showcase.class_wise()]
        writer.add_text(CLASS_WISE, "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows), epoch)
        for number, example in enumerate(showcase.examples):
            writer.add_figure(f"{EXAMPLES_SEEN}/{number}", example.draw(), epoch)
            if example.sound is not None:
                mono = example.sound.mean(axis=1)[None]
                writer.add_audio(f"{EXAMPLES_HEARD}/{number}", mono, epoch, example.sample_rate)


def import_wandb(needing: str) -> Any:
    """W&B's package; `needing` as in `import_extra`, whose error it raises."""
    return import_extra("wandb", "wandb", needing)


def check_key(wandb: Any, otherwise: str) -> None:
    """Make sure that W&B knows who its user is.

    Args:
        wandb: the package.
        otherwise: what to do without a key, for the message.

    Raises:
        ConfigError: no key, and no terminal on which to ask for one.
    """
    try:
        known = wandb.login(verify=False)
    except wandb.errors.UsageError as error:
        raise _no_key(otherwise) from error
    if not known:
        raise _no_key(otherwise)


def _no_key(otherwise: str) -> ConfigError:
    return ConfigError(
        "Weights & Biases has no API key",
        "What is sent to it needs one, in WANDB_API_KEY or from `wandb login`",
        f"Log in, or {otherwise}",
    )
