"""Log-probabilities and labels -> the scores of DCASE 2021 Task 1B; also the one home of metric names."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

# Names of the scores, as they are logged (`validation/<name>`) and written to metrics.json.
MACRO_ACCURACY = "macro_accuracy"  # mean over scenes of the accuracy on that scene's examples
MACRO_LOG_LOSS = "macro_log_loss"  # mean over scenes of the mean log loss on that scene's examples
ACCURACY = "accuracy"  # over examples
LOG_LOSS = "log_loss"  # over examples; what training minimises

# What selects the checkpoint, and what steers the learning rate and stops the training (paper.md, Recipe).
CHECKPOINT_MONITOR = f"validation/{MACRO_ACCURACY}"
PLATEAU_MONITOR = f"validation/{LOG_LOSS}"

TRAIN_LOSS = "train/loss"  # of the heads as the recipe weighs them, with its L2 terms; mean over an epoch's windows

# The one axis of everything logged in training; Lightning adds it, under this name, to what is logged.
EPOCH = "epoch"

# dcase_util clips probabilities here before the logarithm, so that one sure mistake does not cost infinity.
LOWEST_PROBABILITY = 1e-15


def log_losses(log_probabilities: Tensor, scene: Tensor) -> Tensor:
    """(example, scene) log-probabilities and (example,) true class indices -> (example,) log losses, float64."""
    lowest = torch.tensor(LOWEST_PROBABILITY, dtype=torch.float64, device=scene.device).log()
    return -log_probabilities.double().gather(-1, scene[:, None]).squeeze(-1).maximum(lowest)


def mean_over_scenes(sums: Tensor, counts: Tensor) -> Tensor:
    """(..., scene) sums and numbers of examples -> (...) unweighted means of the scenes' own means.

    A scene without examples takes no part.
    """
    return (sums.double() / counts).nanmean(-1)


def score(log_probabilities: Tensor, scene: Tensor) -> "SceneScores":
    """The scores of (example, scene) log-probabilities and (example,) true class indices that this process has all of:
    unlike in training, nobody else is asked, however many processes there are."""
    scores = SceneScores(log_probabilities.shape[-1], alone=True)
    scores.update(log_probabilities, scene)
    return scores


class SceneScores(Metric):
    """Counts and log-loss sums per scene over any number of uneven batches and processes.

    Scores are means over all examples seen, never means over batches. A scene without examples takes no part
    in the means over scenes; its own scores are NaN.

    Args:
        scenes: number of scenes.
        alone: this process has all examples, however many processes there are.
    """

    full_state_update = False
    confusion: Tensor
    log_loss_sum: Tensor

    def __init__(self, scenes: int, alone: bool = False) -> None:
        super().__init__(sync_on_compute=not alone)
        self.scenes = scenes
        double = torch.float64
        self.add_state("confusion", torch.zeros(scenes, scenes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("log_loss_sum", torch.zeros(scenes, dtype=double), dist_reduce_fx="sum")

    def update(self, log_probabilities: Tensor, scene: Tensor) -> None:
        """Take in a batch.

        Args:
            log_probabilities: (batch, scene), normalised.
            scene: (batch,) true class indices.
        """
        predicted = log_probabilities.argmax(-1)
        pairs = torch.bincount(scene * self.scenes + predicted, minlength=self.scenes**2)
        self.confusion += pairs.view(self.scenes, self.scenes)
        self.log_loss_sum.index_add_(0, scene, log_losses(log_probabilities, scene))

    def compute(self) -> dict[str, Tensor]:
        """The four scores of this module, each a scalar."""
        count = self.confusion.sum(-1)
        correct = self.confusion.diagonal()
        return {
            MACRO_ACCURACY: mean_over_scenes(correct, count),
            MACRO_LOG_LOSS: mean_over_scenes(self.log_loss_sum, count),
            ACCURACY: correct.sum() / count.sum(),
            LOG_LOSS: self.log_loss_sum.sum() / count.sum(),
        }

    def report(self, scenes: tuple[str, ...]) -> dict[str, Any]:
        """The scores, the class-wise values and the confusion matrix, as plain data for metrics.json.

        Args:
            scenes: label order; rows of the confusion matrix are true scenes, columns predictions.
        """
        count = self.confusion.sum(-1).tolist()
        correct = self.confusion.diagonal().tolist()
        log_loss_sum = self.log_loss_sum.tolist()
        return {
            **{name: value.item() for name, value in self.compute().items()},
            "examples": sum(count),
            "class_wise": {
                scene: {
                    ACCURACY: correct[index] / count[index] if count[index] else None,
                    LOG_LOSS: log_loss_sum[index] / count[index] if count[index] else None,
                    "examples": count[index],
                }
                for index, scene in enumerate(scenes)
            },
            "confusion": self.confusion.tolist(),
        }
