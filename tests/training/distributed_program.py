"""Fit, validate and test a small fusion network, as one of one or more processes; run by test_distributed.py.

python distributed_program.py <config as YAML> <folder for what it saw> <batch size of a process>
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from pytorch_lightning import Callback, LightningModule, Trainer

from sedcrnn.config.checking import checked
from sedcrnn.training.modules import FusionModule
from sedcrnn.training.stage import make_datamodule

AUDIO = {"_target_": "sedcrnn.networks.audio.AudioNetwork", "scenes": 3, "filters": [2, 2, 4]}
VISUAL = {
    "_target_": "sedcrnn.networks.visual.VisualNetwork",
    "scenes": 3,
    "backbone": "test_resnet",
    "normalisation": "imagenet",
    "hidden": 2,
}
RECIPE = {
    # Weights stay as they are, so that every step's gradient is that of the same network.
    "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.0},
    "learning_rates": {},
    "mixup_alpha": 0.0,
    "mixup_partners": "batch",
    "mixup_embeddings": 0.0,
    "modality_dropout": 0.0,
    "watched": "log_loss",
    "loss": {"class_weights": None, "label_smoothing": 0.0, "focal_gamma": 0.0},
    "frozen_dropout": False,
    "head_weights": {"early": 0.7, "late": 1.0},
    "frozen": ["audio", "visual"],
    "l2": {"early": 0.1},
    "scheduler": {
        "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau",
        "factor": 0.5,
        "patience": 2,
        "threshold": 1e-4,
        "threshold_mode": "abs",
    },
    "early_stopping_patience": 9,
    "compile": False,
    "gradient_checkpointing": False,
}


class Seen(Callback):
    """What a process trains on, and the gradients that its optimiser gets."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, int]]] = []
        self.seeds: list[int] = []
        self.gradients: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, n: int) -> None:
        self.batches.append(list(zip(batch["clip"].tolist(), batch["window"].tolist(), strict=True)))
        self.seeds.append(torch.initial_seed())

    def on_before_optimizer_step(self, trainer: Trainer, module: LightningModule, optimizer: Any) -> None:
        trained = {name: value.grad for name, value in module.network.named_parameters() if value.requires_grad}
        self.gradients.append({name: gradient.clone() for name, gradient in trained.items() if gradient is not None})


def main(config_file: str, folder: str, batch_size: str) -> None:
    config = checked(OmegaConf.load(config_file))
    config.recipe.batch_size = int(batch_size)
    rank, processes = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    torch.manual_seed(0)
    network = {"_target_": "sedcrnn.networks.fusion.FusionNetwork", "audio": AUDIO, "visual": VISUAL, "hidden": 2}
    module = FusionModule(network, {**RECIPE, "batch_size": int(batch_size)}, ["a", "b", "c"], {}, {}, [], seed=0)
    seen = Seen()
    trainer = Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        max_epochs=2,
        callbacks=[seen],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    datamodule = make_datamodule(config)
    trainer.fit(module, datamodule=datamodule)
    result: dict[str, Any] = {"batches": seen.batches, "seeds": seen.seeds, "gradients": seen.gradients}
    result["fit"] = {name: value.item() for name, value in trainer.callback_metrics.items()}
    # The weights did not move: one checkpoint for both ways.
    result["validation"] = trainer.validate(module, datamodule=datamodule, verbose=False)[0]
    result["test"] = trainer.test(module, datamodule=datamodule, verbose=False)[0]
    result["weights"] = module.network.state_dict()
    torch.save(result, Path(folder) / f"{processes}-{rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
