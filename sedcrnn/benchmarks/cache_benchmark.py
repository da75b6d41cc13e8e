"""Frozen stages: an epoch that computes frozen parts beside one that reads what they made, and the latter beside a bare
PyTorch loop.

Called by `make bench-train` and `make bench-visual`; each ratio is of figures from one run.
"""

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from numpy.typing import NDArray
from omegaconf import OmegaConf
from pytorch_lightning import Callback, LightningModule, Trainer

from sedcrnn.config import CONF, checked
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.config.targets import build
from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.scenes import TAU_SCENES
from sedcrnn.datasets.window_dataset import PER_STEP, EncodedDataset, window_loader
from sedcrnn.datasets.windows import STEPS_PER_WINDOW, ConsecutiveWindows, RandomWindows
from sedcrnn.training.frozen_cache import FrozenEncoder
from sedcrnn.training.init_from import complete_network
from sedcrnn.training.modules import SceneModule
from sedcrnn.training.stage import make_datamodule

EPOCHS = 3
CLIPS, STEPS = 1000, 50  # of the set in memory; TAU has 8,646 training clips of 50 steps


class EpochClock(Callback):
    """Seconds of every training epoch, without validation."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Stop it."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self._start)


def epochs_table(frames: int = 64) -> None:
    """Seconds of an epoch of the visual and of the fusion stage with VGG16, uncached and cached, on rendered clips."""
    print(f"\nOne training epoch, VGG16 at {frames}x{frames}, rendered clips of 2 s (seconds, validation apart)")
    print(f"{'':10}{'clips':>8}{'uncached':>12}{'cached':>12}{'ratio':>10}{'encoding, once':>18}")
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("visual", "fusion"):
            clips, uncached, _ = _epoch(_stage(kind, Path(folder), frames, cached=False))
            _, cached, encoding = _epoch(_stage(kind, Path(folder), frames, cached=True))
            print(f"{kind:10}{clips:8}{uncached:12.2f}{cached:12.3f}{uncached / cached:10.0f}{encoding:18.1f}")


def bare_loop_table() -> None:
    """The cached fusion stage, as it trains, beside a loop of forward, backward and step over tensors in memory."""
    config = _stage("fusion", Path("unused"), 224, cached=True)
    module = _module(config, {"scenes": len(TAU_SCENES), "channels": 3})
    dataset, validation = _random_encoded(module, CLIPS), _random_encoded(module, clips=10)
    seconds = window_loader(validation, ConsecutiveWindows(validation.steps, batch_size=100), workers=0)
    batches = RandomWindows([clip.id for clip in dataset.clips], dataset.steps, config.recipe.batch_size, seed=0)
    bare, ours = [], []
    for epoch in range(EPOCHS):  # in turn, so that both meet the same machine
        batches.set_epoch(epoch)
        bare.append(_bare_epoch(config, module, dataset, batches))
        clock = EpochClock()
        trainer = _trainer(config, clock, epochs=1)
        trainer.fit(module, window_loader(dataset, batches, workers=0), seconds)
        ours.append(clock.seconds[0])
    samples = len(dataset.clips)
    print(f"\nCached fusion stage, {samples} clips of 10 s in memory, batch {config.recipe.batch_size} (samples/s)")
    print(f"{'bare PyTorch loop':28}{samples / min(bare):10.0f}")
    print(f"{'under Lightning, as trained':28}{samples / min(ours):10.0f}")
    print(f"{'ratio of their times':28}{min(ours) / min(bare):10.2f}")


def _bare_epoch(config: TrainConfig, module: SceneModule, dataset: EncodedDataset, batches: RandomWindows) -> float:
    network = module.network.train()
    for part in module.frozen:
        part.eval()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = build(config.recipe.optimizer, "optimizer", params=trained)
    started = time.perf_counter()
    for windows in batches:
        batch = dataset[windows]
        heads = network.heads_of(batch)
        loss = sum(F.cross_entropy(heads[head], batch["scene"]) for head in module.head_weights)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
    return time.perf_counter() - started


def _random_encoded(module: SceneModule, clips: int) -> EncodedDataset:
    rng = np.random.default_rng(0)
    network: Any = module.network
    widths = {
        "visual_steps": (network.visual.encoder.embedding,),
        "audio_steps": (STEPS_PER_WINDOW, network.audio.dense.in_features),
        "audio": (network.scenes,),
        "visual": (network.scenes,),
    }

    def values(name: str) -> NDArray[np.float32]:
        rows = STEPS if name in PER_STEP else STEPS - STEPS_PER_WINDOW + 1
        return rng.standard_normal((rows, *widths[name]), dtype=np.float32)

    nowhere = Path()
    made = [
        Clip(str(number), nowhere, nowhere, TAU_SCENES[number % len(TAU_SCENES)], "", str(number), "train")
        for number in range(clips)
    ]
    return EncodedDataset(made, TAU_SCENES, {name: [values(name) for _ in made] for name in network.encoded})


def _stage(kind: str, folder: Path, frames: int, cached: bool) -> TrainConfig:
    overrides = [
        f"experiment={kind}",
        "data=synthetic_tiny",
        f"data.root={folder / 'data'}",
        f"store={folder / 'store'}",
        f"features.frames.height={frames}",
        f"features.frames.width={frames}",
        f"trainer={'gpu' if torch.cuda.is_available() else 'cpu'}",
        f"recipe.cache_frozen={str(cached).lower()}",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config: TrainConfig = checked(compose("train", overrides))
        parts = {part: compose("train", [f"model={part}"]) for part in ("audio", "visual") if kind == "fusion"}
    nodes = {part: OmegaConf.to_container(node.model.network) for part, node in parts.items()}
    network = {**config.model["network"], **nodes}
    return replace(config, model={**config.model, "network": network})


def _module(config: TrainConfig, dimensions: dict[str, int]) -> SceneModule:
    torch.manual_seed(0)
    module: SceneModule = build(
        {"_target_": config.model["_target_"]},
        "module",
        network=complete_network(config.model["network"], {}, dimensions),
        recipe=vars(config.recipe),
        scenes=list(TAU_SCENES),
        features={},
        data={},
        locations=[],
        seed=0,
    )
    return module


def _trainer(config: TrainConfig, clock: EpochClock, epochs: int) -> Trainer:
    trainer: Trainer = build(
        {**config.trainer, "max_epochs": epochs, "enable_progress_bar": False, "deterministic": "warn"},
        "trainer",
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
    )
    return trainer


def _epoch(config: TrainConfig) -> tuple[int, float, float]:
    """Clips of a training epoch; its seconds, the median of those after the first; and those of encoding all clips
    before."""
    data = make_datamodule(config)
    data.prepare_data()
    module = _module(config, data.dimensions)
    clock = EpochClock()
    trainer = _trainer(config, clock, epochs=EPOCHS + 1)
    started = time.perf_counter()
    if config.recipe.cache_frozen:
        node, device = module.hparams["network"], trainer.strategy.root_device
        data.encoder = FrozenEncoder(module.network, node, data.features, str(trainer.precision), device)
        data.setup()
    encoding = time.perf_counter() - started
    trainer.fit(module, datamodule=data)
    return len(data.folds.train), statistics.median(clock.seconds[1:]), encoding
