"""The LightningModules: batch -> network heads -> losses and scores, on one base for audio, visual and fusion."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torchmetrics import MeanMetric

import sedcrnn
from sedcrnn.augmentation.mixup import draw_mixup_weights, mixup
from sedcrnn.augmentation.modality_dropout import drop_modalities
from sedcrnn.config.targets import build
from sedcrnn.evaluation.metrics import PLATEAU_MONITOR, TRAIN_LOSS, SceneScores
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.execution import checkpoint_encoders, compile_in_place
from sedcrnn.networks.freezing import freeze, frozen_modules, parameter_groups
from sedcrnn.runs.checkpoints import SCHEMA_KEY, SCHEMA_VERSION
from sedcrnn.training.recipes import check_recipe, chosen_head_weights

Config = Mapping[str, Any]


class SceneModule(LightningModule):
    """Trains one network by one recipe. All arguments are plain data and stand in every checkpoint, which
    therefore rebuilds itself with no config, file or download (`checkpoints.Checkpoint.build`).

    Args:
        network: config of the network, complete.
        recipe: the values of `config.RecipeConfig`.
        scenes: label order.
        features: configs of the features that the network takes, by name.
        data: config of the data it was trained on.
        locations: what it learns from, with the locations of the networks that it starts from.
        seed: seed of everything random in training.
    """

    loss_weights: Tensor

    def __init__(
        self,
        network: Config,
        recipe: Config,
        scenes: Sequence[str],
        features: Config,
        data: Config,
        locations: Sequence[str],
        seed: int,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network: SceneNetwork = build(network, "network")
        self.recipe, self.seed = recipe, seed
        self.head_weights = chosen_head_weights(recipe["head_weights"], self.network)
        check_recipe(recipe, self.network)
        self.frozen = frozen_modules(self.network, recipe["frozen"])
        for part in self.frozen:
            freeze(part)
        self.l2 = dict(zip(frozen_modules(self.network, list(recipe["l2"])), recipe["l2"].values(), strict=True))
        parameter_groups(self.network, recipe["learning_rates"])  # for its errors
        heads = self.network.head_names
        weights = torch.tensor([self.head_weights.get(head, 0.0) for head in heads])
        self.register_buffer("loss_weights", weights, persistent=False)
        self._seen: defaultdict[str, list[tuple[Tensor, Tensor, Tensor]]] = defaultdict(list)
        self.train_loss = MeanMetric()
        # One collection of scores per head, one clone per split.
        self.scores = nn.ModuleDict(
            {
                f"{split}_scores": nn.ModuleDict({head: SceneScores(len(scenes)) for head in heads})
                for split in ("train", "validation", "test")
            }
        )

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        """Loss of a batch of training windows, mixed up where the recipe says so.

        DDP's gradient is the mean over processes. Where their parts of a batch differ in size, the loss is weighted by
        it, so that the gradient is that of the whole batch.
        """
        loss = self._step(batch, "train")
        if not dist.is_initialized():
            return loss
        size = torch.tensor(float(len(batch["scene"])), device=self.device)
        mean_size = size / dist.get_world_size()
        dist.all_reduce(mean_size)
        return loss * (size / mean_size)

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """Scores of a batch of the windows that select the checkpoint."""
        self._step(batch, "validation")

    def test_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """Scores of a batch of test windows."""
        self._step(batch, "test")

    def _step(self, batch: dict[str, Tensor], split: str) -> Tensor:
        target = F.one_hot(batch["scene"], self.network.scenes).float()
        if split == "train":
            batch, target = self._augmented(batch, target)
        # One tensor for all heads, and one update of the metrics per epoch: each call costs as much as a GRU's.
        logits = torch.stack(
            [
                values if head in self.head_weights else values.detach()
                for head, values in self.network.heads_of(batch).items()
            ]
        )
        log_probabilities = logits.float().log_softmax(-1)
        loss = -(target * log_probabilities).sum(-1).mean(-1) @ self.loss_weights
        if self.l2:
            loss = loss + self.l2_penalty()
        # Under mixup the scores of the training split count the heavier label as the true one.
        self._seen[split].append((log_probabilities.detach(), target.argmax(-1), loss.detach()))
        return loss

    def _augmented(self, batch: dict[str, Tensor], target: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The batch and its labels after what the recipe does to whole batches."""
        if self.recipe["modality_dropout"] > 0:
            batch = drop_modalities(batch, self.recipe["modality_dropout"])
        if self.recipe["mixup_alpha"] > 0:
            inputs = {name: batch[name] for name in self.network.inputs}
            batch, target = mixup(inputs, target, draw_mixup_weights(len(target), self.recipe["mixup_alpha"]))
        return batch, target

    def l2_penalty(self) -> Tensor:
        """The recipe's L2 terms: coefficient times the sum of squared kernels (not biases) of each named part,
        added to the loss as Keras' `kernel_regularizer` does."""
        terms = [
            coefficient * weight.square().sum()
            for part, coefficient in self.l2.items()
            for weight in trainable_kernels(part)
        ]
        return torch.stack(terms).sum() if terms else torch.zeros((), device=self.device)

    def on_fit_start(self) -> None:
        """Choose how the network is run, before the first batch."""
        if self.recipe["compile"]:
            compile_in_place(self.network, self.trainer.strategy.root_device)
        if self.recipe["gradient_checkpointing"]:
            checkpoint_encoders(self.network)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Reseed, so that a batch's dropout and mixup do not depend on whether the run was interrupted before."""
        key = [self.seed, self.current_epoch, batch_idx, self.global_rank]
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        # torch.manual_seed also asks every kind of device that might be there, which takes 0.2 ms.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def on_train_epoch_end(self) -> None:
        """Log the epoch's learning rates, training loss and scores."""
        names = ("train/learning_rate", *(f"train/learning_rate/{part}" for part in self.recipe["learning_rates"]))
        for name, group in zip(names, self.trainer.optimizers[0].param_groups, strict=True):
            self.log(name, group["lr"])
        self._log_scores("train")
        self.log(TRAIN_LOSS, self.train_loss, on_step=False, on_epoch=True)
        schedule = self.lr_schedulers()
        if isinstance(schedule, ReduceLROnPlateau):
            schedule.step(self.trainer.callback_metrics[PLATEAU_MONITOR].item())
        elif schedule is not None:
            cast(LRScheduler, schedule).step()

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Done in `on_train_epoch_end`, before the epoch's checkpoint: Lightning's place for it is after the
        checkpoint, where a resumed run would miss it."""

    def on_validation_epoch_end(self) -> None:
        """Log the epoch's validation scores, which select the checkpoint and steer the learning rate."""
        self._log_scores("validation")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say in which way it is written, and by which version of the package."""
        checkpoint |= {SCHEMA_KEY: SCHEMA_VERSION, "sedcrnn": sedcrnn.__version__}

    def on_test_epoch_end(self) -> None:
        """Log the test scores."""
        self._log_scores("test")

    def update_scores(self, split: str) -> dict[str, SceneScores]:
        """The scores of every head, with all batches of a split that have been seen since."""
        scores, seen = self._scores(split), self._seen.pop(split, [])
        if seen:
            log_probabilities, scene = torch.cat([one for one, _, _ in seen], 1), torch.cat([one for _, one, _ in seen])
            for head, values in zip(self.network.head_names, log_probabilities, strict=True):
                scores[head].update(values, scene)
        if split == "train":
            sizes = torch.tensor([len(scene) for _, scene, _ in seen])
            self.train_loss.update(torch.stack([loss for _, _, loss in seen]), weight=sizes.to(self.device))
        return scores

    def _log_scores(self, split: str) -> None:
        answer = self.network.head_names[-1]
        for head, scores in self.update_scores(split).items():
            prefix = split if head == answer else f"{split}/{head}"
            # The states are already reduced over processes by compute().
            self.log_dict({f"{prefix}/{name}": value.float() for name, value in scores.compute().items()})
            scores.reset()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The recipe's optimiser over what is not frozen, and its plateau schedule, which multiplies all rates."""
        groups = parameter_groups(self.network, self.recipe["learning_rates"])
        optimizer = build(self.recipe["optimizer"], "optimizer", params=groups)
        if (node := self.recipe["scheduler"]) is None:
            return {"optimizer": optimizer}
        schedule = build(node, "scheduler", optimizer=optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": PLATEAU_MONITOR}}

    def train(self, mode: bool = True) -> "SceneModule":
        """Switch training mode; frozen parts stay in evaluation mode, so their BN statistics stay as they are."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def _scores(self, split: str) -> dict[str, SceneScores]:
        return dict(cast(nn.ModuleDict, self.scores[f"{split}_scores"]).items())  # type: ignore[arg-type]


class AudioModule(SceneModule):
    """The squeeze-excitation CNN on spectrograms."""


class VisualModule(SceneModule):
    """The frame encoder with a bidirectional GRU on frames."""


class FusionModule(SceneModule):
    """Both subnetworks with early and late fusion; the loss may weigh every head (`recipe.head_weights`)."""


def trainable_kernels(module: nn.Module) -> Iterator[nn.Parameter]:
    """Weights of convolutions, dense layers and GRUs below a module that are being trained; no biases or BN."""
    return (p for p in module.parameters() if p.requires_grad and p.ndim > 1)
