"""Two processes on one device come to the weights of one process with the joint batch."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.training.stage import make_datamodule
from tests.training.two_processes import one_and_two

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

PROGRAM = Path(__file__).with_name("ranks_program.py")
Stage = Callable[..., TrainConfig]


def as_torchrun(rank: int) -> dict[str, str]:
    """The place of a process that is alone on its node, so that all may have the same GPU."""
    ranks = {"RANK": str(rank), "LOCAL_RANK": "0", "GROUP_RANK": str(rank)}
    return {"TORCHELASTIC_RUN_ID": "one", "LOCAL_WORLD_SIZE": "1", **ranks}


def weights_of(config: TrainConfig, folder: Path) -> list[dict[str, Any]]:
    """What one process with batches of four had, and the first and second of two with batches of two."""
    OmegaConf.save(OmegaConf.create(asdict(config)), folder / "config.yaml")
    make_datamodule(config).prepare_data()
    return one_and_two(PROGRAM, folder, as_torchrun, timeout=110)


def test_weights_are_those_of_the_joint_batch(stage: Stage, device: torch.device, tmp_path: Path) -> None:
    """Batch normalisation sees the whole batch on a GPU alone; elsewhere a network without it is trained."""
    optimizer = ["recipe/optimizer=adam", "recipe.optimizer.lr=1e-2", "recipe.optimizer.eps=1e-1"]
    if device.type == "cuda":
        config = stage("audio", *optimizer, "recipe.mixup_alpha=0")
    else:
        plain = ["model.network.backbone=vgg11", "model.network.normalisation=imagenet", "model.network.dropout=0"]
        config = stage("visual", *optimizer, *plain, "recipe.frozen=[]", "recipe.cache_frozen=false")
    one, first, second = weights_of(config, tmp_path)
    assert one["steps"] == first["steps"] == second["steps"] >= 4
    moved = 0
    for name, values in one["after"].items():
        assert torch.equal(first["after"][name], second["after"][name]), name
        if values.is_floating_point():
            torch.testing.assert_close(
                first["after"][name], values, rtol=1e-3, atol=1e-4, msg=partial("{}: {}".format, name)
            )
            moved += (values - one["before"][name]).abs().max() > 1e-3
    assert moved > 5
    for name, score in one["scores"].items():
        assert first["scores"][name] == pytest.approx(score, rel=1e-2), name
