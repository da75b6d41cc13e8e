"""Values of an epoch -> Weights & Biases or TensorBoard, where `logger` asks for one.

Curves have one axis, the epoch. A logger gets its run folder and finds in it what it needs: the resolved config, and
the W&B run that a resumed training goes on with.
"""

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.loggers.logger import Logger

from sedcrnn.config.targets import build, resolve
from sedcrnn.errors import import_extra
from sedcrnn.evaluation import result_names as names
from sedcrnn.plotting.answer_figures import confusion_figure
from sedcrnn.runs.files import write_text
from sedcrnn.runs.records import read_config
from sedcrnn.sweeps.ranks import is_first_process
from sedcrnn.training.showcase import Showcase
from sedcrnn.training.wandb_workspace import check_key

WANDB_ID = "wandb_id"  # file of the run folder that holds the id of its W&B run


def make_loggers(nodes: Mapping[str, Any], folder: Path) -> list[Logger]:
    """What `config.logger` names, for a run folder."""
    return [build(node, "logger", save_dir=str(folder)) for node in nodes.values() if node]


def check_loggers(nodes: Mapping[str, Any]) -> None:
    """Refuse a logger that could not begin, before anything takes long: without its package, or W&B without a key."""
    for node in filter(None, nodes.values()):
        build(node, "logger", save_dir=".")  # writes nothing yet


class WandbLog(Logger):
    """The run on Weights & Biases: group = experiment, job type = kind of network, name = run folder's name.

    Lightning's own logger counts in optimiser steps, and leaves its run open for the next training of the process.
    Its files go to `wandb/` of the run folder (`save_dir`); `wandb sync <run folder>/wandb/offline-run-*` sends them
    later. The other arguments are `WandbKeys`.
    """

    def __init__(
        self,
        save_dir: str,
        project: str,
        entity: str | None = None,
        offline: bool = True,
        tags: Sequence[str] = (),
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.folder, self.project, self.entity = Path(save_dir), project, entity
        self.offline, self.tags = offline, tags
        self.wandb = import_extra("wandb", "wandb", "logger=wandb needs")
        self._run: Any = None
        if not offline and is_first_process():
            check_key(self.wandb, "set logger.wandb.offline=true")

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
            # An agent of a W&B sweep sets the id itself.
            own_id = os.environ.get("WANDB_RUN_ID") or self.version or secrets.token_hex(8)
            write_text(self.folder / WANDB_ID, f"{own_id}\n")
            self._run = self.wandb.init(
                dir=str(self.folder),
                project=self.project,
                entity=self.entity,
                mode="offline" if self.offline else "online",
                id=own_id,
                resume=None if self.offline else "allow",  # offline, files of one id are joined when they are sent
                name=self.folder.name,
                group=config["name"],
                job_type=resolve(config["model"]["network"]["_target_"], "network").kind,
                config=config,
                tags=[config["data"]["selection"], *self.tags],
                reinit="finish_previous",
            )
            self._run.define_metric("*", step_metric=names.EPOCH)
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
        confusion = {}
        if showcase.true:
            confusion[names.CONFUSION] = wandb.plot.confusion_matrix(
                y_true=showcase.true, preds=showcase.predicted, class_names=list(showcase.scenes), title=names.CONFUSION
            )
        audio = [
            wandb.Audio(example.audio, sample_rate=example.sample_rate, caption=example.caption)
            for example in showcase.examples
            if example.audio is not None
        ]
        run.log(
            {
                names.EPOCH: showcase.epoch,
                **confusion,
                names.CLASS_WISE: wandb.Table(columns=list(showcase.columns), data=showcase.class_wise()),
                # Not in a table: wandb would keep their files outside the run folder.
                names.EXAMPLE_INPUTS: [
                    wandb.Image(example.figure, caption=example.caption) for example in showcase.examples
                ],
                **({names.EXAMPLE_AUDIO: audio} if audio else {}),
            }
        )
        run.summary.update({f"{names.BEST_SCORES}/{name}": value for name, value in showcase.scores().items()})

    def keep(self, checkpoint: Path) -> None:
        """Send the best checkpoint of a finished training, complete with its temperatures, if that was asked for."""
        if not self.checkpoint:
            return
        artifact = self.wandb.Artifact(self.folder.name, type="model", metadata={names.EPOCH: "best"})
        artifact.add_file(str(checkpoint), policy="immutable", skip_cache=True)  # no copy: the file stays as it is
        self.experiment.log_artifact(artifact, aliases=["best"])
        self.finalize("success")

    def finalize(self, status: str) -> None:
        """End the W&B run, so that the next training of this process begins its own."""
        if self._run is not None:
            self._run.finish(exit_code=0 if status == "success" else 1)
            self._run = None


class TensorBoardLog(TensorBoardLogger):
    """TensorBoard's files in `tensorboard/` of the run folder: `tensorboard --logdir runs` compares all runs."""

    def __init__(self, save_dir: str) -> None:
        import_extra("tensorboard", "tensorboard", "logger=tensorboard needs")
        super().__init__(save_dir, name="", version="tensorboard", default_hp_metric=False)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write the values of an epoch at that epoch."""
        values = dict(metrics)
        super().log_metrics(values, step=int(values.pop(names.EPOCH)))

    def show(self, showcase: Showcase) -> None:
        """Write confusion matrix, class-wise table and example clips at the best epoch."""
        writer, epoch = self.experiment, showcase.epoch
        if showcase.true:
            writer.add_figure(names.CONFUSION, confusion_figure(showcase.answer["confusion"], showcase.scenes), epoch)
        rows = [showcase.columns, ["---"] * len(showcase.columns), *showcase.class_wise()]
        writer.add_text(names.CLASS_WISE, "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows), epoch)
        for number, example in enumerate(showcase.examples):
            writer.add_figure(f"{names.EXAMPLE_INPUTS}/{number}", example.figure, epoch)
            if example.audio is not None:
                mono = example.audio.mean(axis=1)[None]
                writer.add_audio(f"{names.EXAMPLE_AUDIO}/{number}", mono, epoch, example.sample_rate)
