"""Steps under Lightning that are fed as `train` feeds them, from stored clips through the loader, beside the bare step
on a batch that is there already: what the loader costs."""

import statistics
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from sedcrnn.benchmarks.data_benchmark import INPUTS, make_dataset, training_loader
from sedcrnn.benchmarks.gpu_stages import make_stage
from sedcrnn.benchmarks.gpu_steps import EpochClock, Step, copied
from sedcrnn.benchmarks.gpu_timing import DEVICE, Row, now, seconds_of
from sedcrnn.config.targets import build
from sedcrnn.datasets.scene_data import choose_num_workers
from sedcrnn.datasets.window_dataset import Batch, WindowDataset
from sedcrnn.networks.execution import choose_precision, compile_in_place


class Feed(LightningDataModule):
    """One data set as the training fold."""

    def __init__(self, dataset: WindowDataset, batch_size: int, workers: int) -> None:
        super().__init__()
        self.data, self.batch_size, self.workers = dataset, batch_size, workers

    def train_dataloader(self) -> DataLoader[Any]:
        """An epoch."""
        return training_loader(self.data, self.batch_size, self.workers)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """As the data module of the project does."""
        return self.data.network_inputs(batch)


def fed_steps(tiny: bool, name: str, inputs: str, windows: int, mode: bool | str = False) -> Iterator[Row]:
    """Windows/s of a bf16 step alone, and under Lightning with the loader, with as many processes as it chooses, and
    compiled as `recipe.compile` says."""
    stage = make_stage(name, windows, tiny, f"recipe.compile={str(mode).lower()}")
    windows = stage.windows
    network = copied(stage.module.network)
    if mode:
        compile_in_place(network, DEVICE, mode)
    bare = seconds_of(Step(network, stage.batch, bf16=True), tiny)
    workers = choose_num_workers("auto", slow=not INPUTS[inputs][0].on_device)
    skipped, steps = (1, 3) if tiny else (10, max(30, min(10_000 // windows, round(2 / bare))))
    clock = EpochClock(skipped, steps)
    node = {**stage.trainer, "precision": choose_precision("auto", stage.trainer["accelerator"])}
    node |= {"max_epochs": 1 if tiny else 2, "limit_train_batches": steps, "limit_val_batches": 0}
    node |= {"enable_progress_bar": False}
    trainer = build(node, "trainer", callbacks=[clock], logger=False, enable_checkpointing=False)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        feed = Feed(make_dataset(inputs, Path(folder), tiny), windows, workers)
        before = now()
        trainer.fit(stage.module, datamodule=feed)
        after = now()
    torch.use_deterministic_algorithms(False)  # Lightning leaves it on
    trained = statistics.median(clock.seconds)
    yield {
        "stage": name,
        "compiled": str(mode).lower(),
        "inputs": inputs,
        "windows": windows,
        "processes": str(workers),
        "windows/s, bare step": windows / bare,
        "windows/s, trained": windows / trained,
        "of the bare step": bare / trained,
        "s to the first step": clock.begun - before,
        "s after the last": after - clock.ended,
    }
