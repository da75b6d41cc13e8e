"""Small networks with frozen parts, and the scores of a run: what tests of kept values share."""

import csv
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.training.modules import AudioModule, FusionModule, SceneModule, VisualModule

Stage = Callable[..., TrainConfig]

AUDIO = {"_target_": "sedcrnn.networks.audio.AudioNetwork", "scenes": 3, "filters": [4, 4, 8]}
VISUAL = {
    "_target_": "sedcrnn.networks.visual.VisualNetwork",
    "scenes": 3,
    "backbone": "test_resnet",
    "normalisation": "imagenet",
    "hidden": 4,
}
FUSION = {"_target_": "sedcrnn.networks.fusion.FusionNetwork", "audio": AUDIO, "visual": VISUAL, "hidden": 4}
ENCODER = {
    "_target_": "sedcrnn.networks.audio_encoder.AudioEncoderNetwork",
    "scenes": 3,
    "backbone": "test_resnet",
    "dropout": 0.3,
}
KINDS = {
    "audio": (AudioModule, AUDIO, ["blocks"]),
    "audio_encoder": (AudioModule, ENCODER, ["encoder"]),
    "visual": (VisualModule, VISUAL, ["encoder"]),
    "fusion": (FusionModule, FUSION, ["audio", "visual"]),
    "fusion_encoder": (FusionModule, {**FUSION, "audio": ENCODER}, ["audio", "visual"]),
}


def make_module(kind: str, stage: Stage) -> SceneModule:
    module, node, frozen = KINDS[kind]
    torch.manual_seed(0)
    recipe = asdict(stage(kind.split("_")[0]).recipe) | {"frozen": frozen, "l2": {}, "mixup_alpha": 0.0}
    made = module(node, recipe, ["beach", "bus", "park"], {}, {}, [], seed=0)
    for norm in (part for part in made.network.modules() if isinstance(part, torch.nn.BatchNorm2d)):
        torch.nn.init.normal_(norm.running_mean, std=0.3)  # statistics that tell evaluation mode from training mode
    return made.train()


def metrics(run: Path) -> torch.Tensor:
    with (run / "metrics.csv").open() as file:
        return torch.tensor([[float(value) for value in row.values()] for row in csv.DictReader(file)])
