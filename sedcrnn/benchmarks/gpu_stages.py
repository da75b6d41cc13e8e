"""Stages with new weights on random inputs, for figures of speed: only shapes decide how long a step takes, so nothing
is rendered or read, and a batch may be of any size."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sedcrnn.benchmarks.gpu_timing import DEVICE, GPU
from sedcrnn.config import checked
from sedcrnn.config.composition import compose
from sedcrnn.config.targets import build, resolve
from sedcrnn.networks import SceneNetwork
from sedcrnn.training.init_from import complete_network
from sedcrnn.training.modules import SceneModule
from sedcrnn.training.stage import with_used_features

_UNCACHED, _UNFROZEN = ["recipe.cache_frozen=false"], ["recipe.cache_frozen=false", "recipe.frozen=[]"]
_LITE = ["model=visual_lite"]

_SMALL_FRAMES = ["features.frames.height=32", "features.frames.width=32"]
_TINY_ENCODER = ["model.network.backbone=test_resnet.r160_in1k", "model.network.image_height=32"]
_TINY = {
    "audio": ["model.network.filters=[2,2,2]"],
    "audio_encoder": _TINY_ENCODER,
    "audio_encoder_finetune": _TINY_ENCODER,
    "audio_encoder_frozen": _TINY_ENCODER,
    "visual": [*_SMALL_FRAMES, "model.network.backbone=test_resnet", "model.network.normalisation=imagenet"],
    "fusion": [*_SMALL_FRAMES, "model.network.visual.backbone=test_resnet", "model.network.audio.filters=[2,2,2]"],
}

# Name -> experiment, and overrides.
STAGES: dict[str, tuple[str, list[str]]] = {
    "audio": ("audio", ["recipe.mixup_alpha=0"]),
    "audio, mixup": ("audio", []),
    "audio_encoder": ("audio_encoder", ["recipe.mixup_alpha=0"]),
    "audio_lite, fine-tuning": ("audio_encoder_finetune", ["recipe.mixup_alpha=0"]),
    "audio_lite, cached": ("audio_encoder_frozen", []),
    "visual, frozen VGG16": ("visual", _UNCACHED),
    "visual, fine-tuning": ("visual", _UNFROZEN),
    "visual, cached": ("visual", []),
    "visual_lite, frozen": ("visual", [*_LITE, *_UNCACHED]),
    "visual_lite, fine-tuning": ("visual", [*_LITE, *_UNFROZEN]),
    "visual_lite, cached": ("visual", _LITE),
    "fusion, fine-tuning": ("fusion", _UNFROZEN),
    "fusion, cached": ("fusion", []),
}


@dataclass(frozen=True)
class Stage:
    """A stage with new weights, the trainer that its config names, and a random batch of so many windows."""

    module: SceneModule
    trainer: dict[str, Any]
    batch: dict[str, Tensor]

    @property
    def windows(self) -> int:
        """Of the batch."""
        return len(self.batch["scene"])


def make_stage(name: str, windows: int, tiny: bool, *overrides: str) -> Stage:
    """A stage of `STAGES` on the device."""
    experiment, own = STAGES[name]
    fixed = ["data=synthetic_tiny", "recipe.scheduler=null", f"trainer={'gpu' if GPU else 'auto'}"]
    fixed += ["model=fusion_new"] if experiment == "fusion" else []
    fixed += _TINY[experiment] if tiny else []
    config = with_used_features(checked(compose("train", [f"experiment={experiment}", *overrides, *fixed, *own])))
    sizes = {
        key: value
        for node in asdict(config.features).values()
        if node is not None
        for key, value in build(node, "feature").dimensions.items()
    }
    torch.manual_seed(0)
    node = complete_network(config.model["network"], {}, {"scenes": 10, **sizes})
    kind = resolve(config.model["_target_"], "module")
    module = kind(node, asdict(config.recipe), [str(scene) for scene in range(10)], {}, {}, [], seed=0)
    module = module.to(DEVICE).train()
    windows = 2 if tiny else windows
    batch = _random_inputs(module.network, windows, (sizes.get("height", 0), sizes.get("width", 0)))
    if config.recipe.cache_frozen:
        with torch.no_grad():  # two windows' values, as often as they are needed
            encoded = module.network.encode(**{key: values[:2] for key, values in batch.items()})
        batch = {key: values[torch.arange(windows, device=DEVICE) % 2].clone() for key, values in encoded.items()}
    batch["scene"] = torch.arange(windows, device=DEVICE) % 10
    return Stage(module, config.trainer, batch)


def _random_inputs(network: SceneNetwork, windows: int, size: tuple[int, int]) -> dict[str, Tensor]:
    inputs = {}
    if "spectrogram" in network.inputs:
        inputs["spectrogram"] = torch.rand(windows, 3, 64, 50, device=DEVICE) * 2 - 1
    if "frames" in network.inputs:
        inputs["frames"] = torch.randint(256, (windows, 5, 3, *size), device=DEVICE, dtype=torch.uint8)
    return inputs
