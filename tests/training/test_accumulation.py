"""Accumulated gradients of small batches are those of a large one."""

from collections.abc import Callable
from pathlib import Path

import torch

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.runs.checkpoints import BEST
from sedcrnn.training.stage import train


def test_two_batches_of_two_are_a_batch_of_four(
    stage: Callable[..., TrainConfig], fusion_parts: dict[str, Path]
) -> None:
    """Fusion layers have no batch normalisation, and stored values no augmentation."""
    starts = [f"init_from.{part}={folder}" for part, folder in fusion_parts.items()]
    options = [
        "recipe/optimizer=sgd",
        "recipe.optimizer.lr=0.3",
        "trainer.max_epochs=1",
        "+trainer.gradient_clip_val=1",
    ]
    states = []
    for own in (["recipe.batch_size=4"], ["recipe.batch_size=2", "+trainer.accumulate_grad_batches=2"]):
        run = train(stage("fusion", *starts, *options, *own))
        assert run is not None
        assert '"steps": 2' in (run / "record.json").read_text()
        states.append(torch.load(run / BEST, map_location="cpu", weights_only=True)["state_dict"])
    for name, values in states[0].items():
        torch.testing.assert_close(states[1][name], values, rtol=1e-4, atol=1e-6, msg=name)
