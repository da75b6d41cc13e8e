"""While it trains, the processor never waits for the GPU: nothing in a step reads back what the GPU computes."""

import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

import sedcrnn
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.training import stage as stage_module
from sedcrnn.training.stage import train

pytestmark = pytest.mark.gpu

Stage = Callable[..., TrainConfig]
PACKAGE = str(Path(sedcrnn.__file__).parent)
STAGES = {
    "audio with mixup": ("audio", "recipe.mixup_alpha=0.4"),
    "visual": ("visual_finetune",),
    "fusion, cached": ("fusion",),
    "fusion with modality dropout": ("fusion", "recipe.cache_frozen=false", "recipe.modality_dropout=0.5"),
}


def report_waits(on: bool) -> None:
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode("warn" if on else "default")


class Watch(Callback):
    """Where the processor waits between the beginning of a batch, after the first two, and that of the last of its
    epoch: at the end of an epoch it may."""

    def __init__(self) -> None:
        self.waits: list[str] = []
        self.batches = 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        watched = 2 <= batch_idx < trainer.num_training_batches - 1
        report_waits(watched)
        self.batches += watched

    def warned(self, message: Any, *_: Any, **__: Any) -> None:
        """Note the innermost line, and the innermost of this package."""
        if "called a synchronizing CUDA operation" in str(message):
            frames = [one for one in traceback.extract_stack()[:-1] if one.filename != warnings.__file__]
            own = [frame for frame in frames if frame.filename.startswith(PACKAGE)]
            self.waits.append(" <- ".join(f"{f.filename}:{f.lineno} {f.line}" for f in (frames[-1], *own[-1:])))


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    watch = Watch()
    build = stage_module.build

    def with_watch(node: Any, role: str, **arguments: Any) -> Any:
        if role == "trainer" and "callbacks" in arguments:
            arguments["callbacks"] = [*arguments["callbacks"], watch]
        return build(node, role, **arguments)

    monkeypatch.setattr(stage_module, "build", with_watch)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = watch.warned
        try:
            yield watch
        finally:
            report_waits(False)


@pytest.mark.parametrize("name", list(STAGES))
def test_no_step_waits_for_the_gpu(
    on_device: Stage, device: torch.device, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    config = on_device(*STAGES[name], "recipe.batch_size=1", "trainer.precision=bf16-mixed", "trainer.max_epochs=2")
    with watched(monkeypatch) as watch:
        train(config)
    assert watch.batches > 5
    if device.type != "cuda":
        pytest.skip("without a GPU there is nothing to wait for")
    assert not watch.waits, "\n".join(sorted(set(watch.waits)))


def test_the_watch_sees_one_that_waits(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    if device.type != "cuda":
        pytest.skip("without a GPU there is nothing to wait for")
    with watched(monkeypatch) as watch:
        report_waits(True)
        torch.ones(2, device=device).sum().item()
    assert len(watch.waits) == 1
    assert "item()" in watch.waits[0]
