"""A run that is killed on the device and goes on ends, to the bit, as the one that was not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.training.stage import train

pytestmark = pytest.mark.gpu

Stage = Callable[..., TrainConfig]


@pytest.fixture
def backbone() -> tuple[str, ...]:
    """Without overlapping pools, of whose gradient on a GPU torch says that it is not deterministic."""
    return ("model.network.backbone=vgg11", "model.network.normalisation=imagenet")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("experiment", ["audio", "visual", "visual_finetune", "fusion", "fusion_finetune"])
def test_three_epochs_at_once_are_those_of_a_run_that_was_killed_after_the_first(
    on_device: Stage, tmp_path: Path, killed_at: Callable[..., None], experiment: str, precision: str
) -> None:
    overrides = [f"trainer.precision={precision}", "recipe.optimizer.lr=1e-3", "recipe.scheduler.patience=0"]
    overrides += ["recipe.mixup_alpha=0.4"] if experiment == "audio" else []
    overrides += ["data.num_workers=2"] if "finetune" in experiment else []  # which ask for windows before the epoch

    def config(runs: str) -> TrainConfig:
        return on_device(experiment, *overrides, f"runs={tmp_path / runs}")

    whole = train(config("whole"))
    killed_at(config("killed"), 1, 1)
    killed = train(config("killed"))
    assert whole is not None
    assert killed is not None
    text = (whole / "metrics.csv").read_text()
    assert len(text.splitlines()) == 4
    assert (killed / "metrics.csv").read_text() == text
    assert load_checkpoint(str(killed)).digest == load_checkpoint(str(whole)).digest
