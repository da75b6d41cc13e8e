"""The LightningModules: batch -> network heads -> loss and scores; for any network, or for audio, video or both."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

import sedcrnn
from sedcrnn.config.targets import build
from sedcrnn.errors import ConfigError, check_choice
from sedcrnn.evaluation.metrics import Scores, sum_over_processes
from sedcrnn.evaluation.result_names import PLATEAU_MONITOR, TRAIN_LOSS, WHOLE_LOSS
from sedcrnn.evaluation.scores import new_scores
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.execution import checkpoint_encoders, compile_in_place
from sedcrnn.networks.freezing import freeze, frozen_modules, parameter_groups
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.runs.checkpoints import KIND_KEY, SCHEMA_KEY, SCHEMA_VERSION
from sedcrnn.training.batch_changes import changed
from sedcrnn.training.losses import binary_cross_entropy, cross_entropy, l2_penalty
from sedcrnn.training.schedules import build_schedule

Config = Mapping[str, Any]

_OWN_KEYS = {
    "modality_dropout": "FusionModule alone drops one of two modalities",
    "head_weights": "FusionModule alone has a loss of several heads",
    "gradient_checkpointing": "AudioModule, VisualModule and FusionModule alone know encoders that are large enough",
}
"""Keys of the recipe that only some modules take -> why the others do not."""


class SceneModule(LightningModule):
    """Trains one network, of any kind, by one recipe; the loss is the cross-entropy of the network's answer.

    All arguments are plain data, described at `checkpoints.Checkpoint`, and stand in every checkpoint, which therefore
    rebuilds itself with no config, file or download.
    """

    inputs: ClassVar[tuple[str, ...]] = ()  # that its network has to take; empty: any
    takes: ClassVar[tuple[str, ...]] = ()  # of _OWN_KEYS
    loss_weights: Tensor
    scene_weights: Tensor | None

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
        self.check_recipe(recipe, type(self.network))
        self.head_weights = self.weights_of_heads()
        self.frozen = frozen_modules(self.network, recipe["frozen"])
        for part in self.frozen:
            freeze(part)
        self.l2 = dict(zip(frozen_modules(self.network, list(recipe["l2"])), recipe["l2"].values(), strict=True))
        parameter_groups(self.network, recipe["learning_rates"])  # for its errors
        weights = torch.tensor([self.head_weights.get(head, 0.0) for head in self.network.head_names])
        self.register_buffer("loss_weights", weights, persistent=False)
        self.loss_terms = {"smoothing": recipe["loss"]["label_smoothing"], "gamma": recipe["loss"]["focal_gamma"]}
        by_scene = recipe["loss"]["class_weights"]  # of all scenes, as the stage has found them
        own = None if by_scene is None else torch.tensor([by_scene[scene] for scene in scenes])
        self.register_buffer("scene_weights", own, persistent=False)
        self.length = (1, 1)  # epochs and optimiser steps of the training, for schedules that go by it
        self._batches: defaultdict[str, list[tuple[Tensor, Tensor, Tensor]]] = defaultdict(list)

    @property
    def is_trained(self) -> bool:
        """Whether anything of it is; an average of the predictions of frozen subnetworks has nothing to train."""
        return any(parameter.requires_grad for parameter in self.parameters())

    @classmethod
    def check_recipe(cls, recipe: Config, network: type[SceneNetwork]) -> None:
        """Refuse a recipe that makes no sense for such a module or network, or contradicts itself."""
        if cls.inputs and network.inputs != cls.inputs:
            raise ConfigError(
                f"model is a {cls.__name__}, and its {network.__name__} takes {' and '.join(network.inputs)}",
                f"It trains networks that take {' and '.join(cls.inputs)}",
                "Set model._target_=sedcrnn.training.modules.SceneModule, which trains any network",
            )
        for key, reason in _OWN_KEYS.items():
            value = recipe.get(key)
            given = any(one is not None for one in value.values()) if isinstance(value, Mapping) else value
            if given and key not in cls.takes:
                raise ConfigError(
                    f"recipe.{key}={value} is given to a {cls.__name__}, which trains a {network.__name__}",
                    reason,
                    f"Leave recipe.{key} out",
                )
        if recipe["mixup_embeddings"] and not network.encoded:
            raise ConfigError(
                f"recipe.mixup_embeddings={recipe['mixup_embeddings']}, and a {network.__name__} has no embeddings",
                "A network that has some names them (encoded), between encode and decode",
                "Set recipe.mixup_alpha, which mixes inputs",
            )
        if recipe["compile"] and recipe["gradient_checkpointing"]:
            raise ConfigError(
                "recipe.compile and recipe.gradient_checkpointing are both true",
                "torch.compile does not run what checkpointing does to batch normalisation",
                "Choose one of them",
            )

    def weights_of_heads(self) -> dict[str, float]:
        """The heads that the loss depends on, with their weights in it: those of the recipe, or the answer alone."""
        names = self.network.head_names
        weights = {name: weight for name, weight in self.recipe["head_weights"].items() if weight is not None}
        for name in weights:
            check_choice(f"head of the {type(self.network).__name__} that recipe.head_weights names", name, names)
        return weights or {names[-1]: 1.0}

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        """Loss of a batch of training windows, mixed up where the recipe says so.

        DDP's gradient is the mean over processes. Where their parts of a batch differ in size, the loss is weighted by
        it, so that the gradient is that of the whole batch.
        """
        loss = self._step(batch, "train")
        if not dist.is_initialized():
            return loss
        size = torch.full((), float(len(batch["scene"])), device=self.device)  # not a copy, which waits for a GPU
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
        multi_label, target = self.network.multi_label, batch["scene"]
        target = (target if multi_label else F.one_hot(target, self.network.scenes)).float()
        if split == "train":
            if self.recipe["frozen_dropout"] and isinstance(self.network, FusionNetwork) and "visual_steps" in batch:
                batch = {**batch, "visual": self.network.visual.classify(batch["visual_steps"])}
            batch, target = changed(batch, target, self.network, self.recipe)
        # One tensor for all heads, and one update of the metrics per epoch: each call costs as much as a GRU's.
        heads = self.network.heads_of(batch)
        trained = [one if head in self.head_weights else one.detach() for head, one in heads.items()]
        logits = torch.stack(trained).float()
        log_probabilities = self.network.log_probabilities(logits)
        entropy, given = (binary_cross_entropy, logits) if multi_label else (cross_entropy, log_probabilities)
        loss = entropy(given, target, self.scene_weights, **self.loss_terms) @ self.loss_weights.float()
        if self.l2:
            loss = loss + l2_penalty(self.l2)
        # Under mixup the scores of the training split count the heavier label as the true one.
        true = target >= 0.5 if multi_label else target.argmax(-1)
        self._batches[split].append((log_probabilities.detach(), true, loss.detach()))
        return loss

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Bound the gradient; Lightning refuses fused optimisers in mixed precision, which 16-mixed alone forbids."""
        if gradient_clip_val:
            clip = clip_grad_value_ if gradient_clip_algorithm == "value" else clip_grad_norm_
            clip([one for one in self.parameters() if one.grad is not None], gradient_clip_val)

    def on_fit_start(self) -> None:
        """Choose how the network is run, before the first batch; what has encoded the clips may have switched modes."""
        if self.recipe["frozen_dropout"]:
            self.train()
        if self.recipe["compile"]:
            compile_in_place(self.network, self.trainer.strategy.root_device, self.recipe["compile"])
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
        """Log the epoch's learning rates, mean training loss and scores, and step the schedule, before the epoch's
        checkpoint: Lightning steps schedules after it, where a resumed run would miss the step."""
        names = ("train/learning_rate", *(f"train/learning_rate/{part}" for part in self.recipe["learning_rates"]))
        for name, group in zip(names, self.trainer.optimizers[0].param_groups, strict=True):
            self.log(name, group["lr"])
        loss = self._mean_loss("train")
        self._log_scores("train")
        self.log(TRAIN_LOSS, loss)
        schedule = self.lr_schedulers()
        if isinstance(schedule, ReduceLROnPlateau):
            schedule.step(self.trainer.callback_metrics[self.watched].item())
        elif schedule is not None and self._interval == "epoch":
            cast(LRScheduler, schedule).step()

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """After an optimiser step, where the schedule goes by steps; else see `on_train_epoch_end`."""
        if self._interval == "step":
            scheduler.step()

    @property
    def watched(self) -> str:
        """The validation loss that steers the learning rate and stops the training."""
        return PLATEAU_MONITOR if self.recipe["watched"] == "log_loss" else WHOLE_LOSS

    def on_validation_epoch_end(self) -> None:
        """Log the epoch's validation scores, which select the checkpoint and steer the learning rate."""
        if self.watched == WHOLE_LOSS:
            self.log(WHOLE_LOSS, self._mean_loss("validation"))
        self._log_scores("validation")

    def _mean_loss(self, split: str) -> Tensor:
        """The mean over the windows of a split that all processes have had."""
        batches = self._batches[split]
        sizes = torch.tensor([float(len(scene)) for _, scene, _ in batches], device=self.device)
        losses = torch.stack([loss for _, _, loss in batches])
        return sum_over_processes((losses * sizes).sum()) / sum_over_processes(sizes.sum())

    def on_test_epoch_end(self) -> None:
        """Log the test scores."""
        self._log_scores("test")

    def _log_scores(self, split: str) -> None:
        for head, counted in self.count_scores(split).items():
            prefix = split if head == self.network.head_names[-1] else f"{split}/{head}"
            scores = counted.over_processes().compute()
            self.log_dict({f"{prefix}/{name}": value.float() for name, value in scores.items()})

    def count_scores(self, split: str) -> dict[str, Scores]:
        """The scores of every head on the batches of a split that this process has had since the last call."""
        batches = self._batches.pop(split, [])
        own = (self.network.scenes, self.network.multi_label, self.device)
        scores = {head: new_scores(*own) for head in self.network.head_names}
        if batches:
            log_probabilities = torch.cat([one for one, _, _ in batches], 1)
            scene = torch.cat([one for _, one, _ in batches])
            for head, values in zip(self.network.head_names, log_probabilities, strict=True):
                scores[head].update(values, scene)
        return scores

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say what it holds, in which form, and which version of the package wrote it."""
        checkpoint |= {SCHEMA_KEY: SCHEMA_VERSION, KIND_KEY: self.network.kind, "sedcrnn": sedcrnn.__version__}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The recipe's optimiser over what is not frozen, and its schedule, which changes all rates alike."""
        groups = parameter_groups(self.network, self.recipe["learning_rates"])
        optimizer = build(self.recipe["optimizer"], "optimizer", params=groups)
        if (node := self.recipe["scheduler"]) is None:
            return {"optimizer": optimizer}
        schedule, self._interval = build_schedule(node, optimizer, *self.length)
        described: Any = {"scheduler": schedule, "monitor": self.watched, "interval": self._interval}
        return {"optimizer": optimizer, "lr_scheduler": described}

    def train(self, mode: bool = True) -> "SceneModule":
        """Switch training mode; frozen parts stay in evaluation mode, so their BN statistics stay as they are."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
            for dropout in (each for each in part.modules() if isinstance(each, nn.Dropout)):
                dropout.train(mode and self.recipe["frozen_dropout"])
        return self


class AudioModule(SceneModule):
    """Trains networks of the spectrogram, small ones from scratch or a large encoder, whose maps may be computed twice
    instead of kept."""

    inputs = ("spectrogram",)
    takes = ("gradient_checkpointing",)


class VisualModule(SceneModule):
    """Trains networks of the frames, whose encoder is large: its maps may be computed twice instead of kept."""

    inputs = ("frames",)
    takes = ("gradient_checkpointing",)


class FusionModule(SceneModule):
    """Trains networks of both modalities: the loss may weigh every head, and windows may lack one modality."""

    inputs = ("spectrogram", "frames")
    takes = tuple(_OWN_KEYS)
