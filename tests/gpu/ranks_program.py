"""Trains the stage of a config as one of several processes that share one GPU, or the CPU; run by test_ranks.py.

python ranks_program.py <config as YAML> <folder for the weights> <batch size of a process>

Each is a node of its own to Lightning, as torchrun would start it, so that all may have the same GPU. NCCL refuses
that; gloo does not.
"""

import os
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from omegaconf import OmegaConf
from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DDPStrategy

from sedcrnn.config.checking import checked
from sedcrnn.config.targets import resolve
from sedcrnn.training.init_from import complete_network
from sedcrnn.training.stage import make_datamodule, with_used_features


def main(config_file: str, folder: str, batch_size: str) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    config = with_used_features(checked(OmegaConf.load(config_file)))
    config.recipe.batch_size = int(batch_size)
    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    datamodule = make_datamodule(config)
    datamodule.setup()
    torch.manual_seed(0)
    network = complete_network(config.model["network"], {}, datamodule.dimensions)
    kind = resolve(config.model["_target_"], "module")
    scenes = list(datamodule.manifest.scenes)
    module = kind(network, asdict(config.recipe), scenes, {}, {}, [], seed=0)
    before = {name: values.clone() for name, values in module.network.state_dict().items()}
    trainer = Trainer(
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=1,
        num_nodes=processes,
        strategy=DDPStrategy(process_group_backend="gloo") if processes > 1 else "auto",
        sync_batchnorm=torch.cuda.is_available() and processes > 1,  # torch has it for GPUs alone
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    trainer.fit(module, datamodule=datamodule)
    scores = {name: value.item() for name, value in trainer.callback_metrics.items()}
    after = {name: values.cpu() for name, values in module.network.state_dict().items()}
    found = {"before": before, "after": after, "scores": scores, "steps": trainer.global_step}
    torch.save(found, Path(folder) / f"{processes}-{rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
