"""Log-probabilities and labels -> the scores of DCASE 2021 Task 1B; of multi-label data see `label_scores`."""

from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from sedcrnn.evaluation.result_names import ACCURACY, LOG_LOSS, MACRO_ACCURACY, MACRO_LOG_LOSS

# dcase_util clips probabilities here before the logarithm, so that one sure mistake does not cost infinity.
LOWEST_PROBABILITY = 1e-15


def log_losses(log_probabilities: Tensor, scene: Tensor) -> Tensor:
    """(example, scene) log-probabilities and (example,) true class indices -> (example,) log losses, float64."""
    lowest = torch.tensor(LOWEST_PROBABILITY, dtype=torch.float64, device=scene.device).log()
    return -log_probabilities.double().gather(-1, scene[:, None]).squeeze(-1).maximum(lowest)


class Scores(Protocol):
    """Scores of any number of batches: of one scene to an example (`SceneScores`), or of any number (`LabelScores`)."""

    def over_processes(self) -> "Scores":
        """The scores of all processes together."""

    def update(self, log_probabilities: Tensor, scene: Tensor) -> None:
        """Count a batch: (batch, scene) log-probabilities, and what is true of it."""

    def compute(self) -> dict[str, Tensor]:
        """The scores by name, each a scalar."""

    def report(self, scenes: tuple[str, ...]) -> dict[str, Any]:
        """The scores, the class-wise values and the confusion, as plain data for metrics.json."""


def mean_over_scenes(sums: Tensor, counts: Tensor) -> Tensor:
    """(..., scene) sums and numbers of examples -> (...) unweighted means of the scenes' own means.

    A scene without examples takes no part.
    """
    return (sums.double() / counts).nanmean(-1)


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes of a distributed training, in the order of their ranks."""
    if not (dist.is_available() and dist.is_initialized()):
        return values
    gathered = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, values)
    return torch.stack(gathered).sum(0)


class SceneScores:
    """Counts and log-loss sums per scene over any number of uneven batches.

    Scores are means over all examples, never means over batches. A scene without examples takes no part in the means
    over scenes; its own scores are NaN. `confusion` is (true scene, predicted scene).
    """

    def __init__(self, scenes: int, device: torch.device | str = "cpu") -> None:
        self.scenes = scenes
        self.confusion = torch.zeros(scenes, scenes, dtype=torch.int64, device=device)
        self.log_loss_sum = torch.zeros(scenes, dtype=torch.float64, device=device)

    def over_processes(self) -> "SceneScores":
        """The scores of all processes together."""
        total = SceneScores(self.scenes)
        total.confusion, total.log_loss_sum = map(sum_over_processes, (self.confusion, self.log_loss_sum))
        return total

    def update(self, log_probabilities: Tensor, scene: Tensor) -> None:
        """Count a batch: (batch, scene) normalised log-probabilities and (batch,) true class indices."""
        predicted = log_probabilities.argmax(-1)
        pairs = torch.bincount(scene * self.scenes + predicted, minlength=self.scenes**2)
        self.confusion += pairs.view(self.scenes, self.scenes)
        self.log_loss_sum.index_add_(0, scene, log_losses(log_probabilities, scene))

    def compute(self) -> dict[str, Tensor]:
        """The four scores by name, each a scalar."""
        count, correct = self.confusion.sum(-1), self.confusion.diagonal()
        return {
            MACRO_ACCURACY: mean_over_scenes(correct, count),
            MACRO_LOG_LOSS: mean_over_scenes(self.log_loss_sum, count),
            ACCURACY: correct.sum() / count.sum(),
            LOG_LOSS: self.log_loss_sum.sum() / count.sum(),
        }

    def report(self, scenes: tuple[str, ...]) -> dict[str, Any]:
        """The scores, the class-wise values and the confusion matrix (true, predicted), as plain data for metrics.json;
        `scenes` is the label order."""
        counts = self.confusion.sum(-1).tolist()
        parts = zip(scenes, self.confusion.diagonal().tolist(), self.log_loss_sum.tolist(), counts, strict=True)
        return {
            **{name: value.item() for name, value in self.compute().items()},
            "examples": sum(counts),
            "class_wise": {
                scene: {
                    ACCURACY: correct / count if count else None,
                    LOG_LOSS: log_loss_sum / count if count else None,
                    "examples": count,
                }
                for scene, correct, log_loss_sum, count in parts
            },
            "confusion": self.confusion.tolist(),
        }
