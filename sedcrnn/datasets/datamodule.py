"""The data of a training stage as Lightning takes them: `scene_data`, with one loader for each of its folds."""

from typing import Any

from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from sedcrnn.datasets.scene_data import SceneData
from sedcrnn.datasets.window_dataset import Batch
from sedcrnn.datasets.windows import ONE_OF_EACH, Drawing, RandomWindows


class SameWindows(RandomWindows):
    """The same batches in every epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Stay at the first epoch's windows."""


class SceneDataModule(SceneData, LightningDataModule):
    """`SceneData` for a Lightning trainer; takes the same arguments, and which windows training draws."""

    def __init__(self, *arguments: Any, drawing: Drawing = ONE_OF_EACH, **named_arguments: Any) -> None:
        LightningDataModule.__init__(self)
        SceneData.__init__(self, *arguments, **named_arguments)
        self.drawing = drawing

    def train_dataloader(self) -> DataLoader[Batch]:
        """Random windows of every training clip; with trainer.overfit_batches, the same in every epoch."""
        dataset = self.dataset("train")
        kind = SameWindows if getattr(self.trainer, "overfit_batches", 0) > 0 else RandomWindows
        ids = [clip.id for clip in dataset.clips]
        scene = dataset.scene.tolist()
        windows = kind(ids, dataset.steps, self.batch_size, self.seed, *self._rank(), self.drawing, scene)
        # Lightning does so later, when processes that load have asked for the first windows already; and it counts the
        # last epoch of a run that is resumed from its end as processed only after that.
        windows.set_epoch(self.trainer.fit_loop.epoch_progress.current.ready if self.trainer else 0)
        return self._loader(dataset, windows)

    def val_dataloader(self) -> DataLoader[Batch]:
        """All windows of the clips that select the checkpoint."""
        return self.evaluation_loader("validation")

    def test_dataloader(self) -> DataLoader[Batch]:
        """All windows of the clips that are reported."""
        return self.evaluation_loader("test")

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """On the device, the batch as the network takes it."""
        return self.dataset("train").network_inputs(batch)

    def _rank(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
