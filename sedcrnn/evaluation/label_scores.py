"""Multi-label data: log-probabilities of each scene by itself, and which are there -> average precision, log loss, F1.

A scene without any example, or without any that lacks it, has no average precision to speak of: the former takes no
part in means over scenes, and of the latter it is 1, as of scikit-learn.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sedcrnn.evaluation.metrics import LOWEST_PROBABILITY
from sedcrnn.evaluation.result_names import (
    F1,
    LOG_LOSS,
    MACRO_F1,
    MACRO_LOG_LOSS,
    MEAN_PRECISION,
    MICRO_F1,
    PRECISION,
)
from sedcrnn.networks.probabilities import log_complement

HALF = 0.5  # threshold where none was chosen


def label_losses(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """(..., scene) log-probabilities and whether scenes are there -> (..., scene) binary log losses, float64."""
    own = log_probabilities.double()
    lowest = torch.tensor(LOWEST_PROBABILITY, dtype=torch.float64, device=own.device).log()
    return -torch.where(labels.bool(), own, log_complement(own)).maximum(lowest)


def average_precision(values: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean, over the examples that have a scene, of the precision among those with a value at least as great.

    Equal values count as one (scikit-learn's `average_precision_score`).

    Args:
        values: (example,) how probable the scene is, on any scale.
        labels: (example,) whether it is there.
        weights: (replicate, example) how often each example occurs; None: once, as one replicate.

    Returns:
        (replicate,) average precision, float64; NaN where the scene is nowhere.
    """
    if weights is None:
        weights = torch.ones(1, len(values), dtype=torch.float64, device=values.device)
    order = values.argsort(descending=True, stable=True)
    ordered = values[order]
    last = torch.ones(len(ordered), dtype=torch.bool, device=values.device)  # of those with equal values
    last[:-1] = ordered[1:] != ordered[:-1]
    times = weights[:, order].double()
    there = (times * labels[order].double()).cumsum(1)[:, last]
    precision = there / times.cumsum(1)[:, last].clamp_min(1)
    gained = torch.diff(there, dim=1, prepend=there.new_zeros(len(there), 1))
    return (precision * gained).sum(1) / there[:, -1]


class LabelScores:
    """The scores of multi-label examples over any number of uneven batches; all are kept, for precision needs them.

    `thresholds` are the probabilities from which on a scene is answered, by scene, or (example, scene).
    """

    def __init__(self, scenes: int, device: torch.device | str = "cpu", thresholds: Tensor | None = None) -> None:
        self.scenes, self.thresholds = scenes, thresholds
        self.values = [torch.zeros(0, scenes, device=device)]
        self.labels = [torch.zeros(0, scenes, dtype=torch.bool, device=device)]

    def over_processes(self) -> "LabelScores":
        """The scores of all processes together, in the order of their ranks."""
        if not (dist.is_available() and dist.is_initialized()):
            return self
        parts: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(parts, [torch.cat(self.values).cpu(), torch.cat(self.labels).cpu()])
        total = LabelScores(self.scenes)
        total.values, total.labels = ([part[kind] for part in parts] for kind in (0, 1))
        return total

    def update(self, log_probabilities: Tensor, labels: Tensor) -> None:
        """Add a batch: (batch, scene) log-probabilities, and whether scenes are there."""
        self.values.append(log_probabilities)
        self.labels.append(labels.bool())

    def compute(self) -> dict[str, Tensor]:
        """The scores by name, each a scalar."""
        return self._means(*self._by_scene())

    @staticmethod
    def _means(precision: Tensor, losses: Tensor, counts: Tensor) -> dict[str, Tensor]:
        mean_loss = losses.mean()
        return {
            MEAN_PRECISION: precision.nanmean(),
            MACRO_LOG_LOSS: mean_loss,
            MACRO_F1: _f1(counts).nanmean(),
            MICRO_F1: _f1(counts.sum(0)),
            LOG_LOSS: mean_loss,
        }

    def report(self, scenes: tuple[str, ...]) -> dict[str, Any]:
        """The scores, the class-wise values, and by scene the confusion ((true negative, false positive), (false
        negative, true positive)), as plain data for metrics.json; `scenes` is the label order."""
        precision, losses, counts = self._by_scene()
        positives = counts[:, 1].sum(-1)
        columns = (precision, losses, _f1(counts), positives)
        class_wise = {
            scene: {PRECISION: _number(ap), LOG_LOSS: _number(loss), F1: _number(f1), "examples": int(there)}
            for scene, ap, loss, f1, there in zip(scenes, *(column.tolist() for column in columns), strict=True)
        }
        return {
            **{name: value.item() for name, value in self._means(precision, losses, counts).items()},
            "examples": sum(map(len, self.values)),
            "class_wise": class_wise,
            "confusion": counts.long().tolist(),
        }

    def _by_scene(self) -> tuple[Tensor, Tensor, Tensor]:
        """(scene,) average precisions and mean log losses, and (scene, true, answered) counts, float64."""
        values, labels = torch.cat(self.values), torch.cat(self.labels)
        columns = zip(values.unbind(1), labels.unbind(1), strict=True)
        precision = torch.stack([average_precision(*column)[0] for column in columns])
        thresholds = HALF if self.thresholds is None else self.thresholds.to(values.device)
        answered = values.double().exp() >= thresholds
        pairs = [[(labels == there) & (answered == said) for said in (False, True)] for there in (False, True)]
        counts = torch.stack([torch.stack([one.sum(0) for one in row]) for row in pairs]).permute(2, 0, 1).double()
        return precision, label_losses(values, labels).mean(0), counts


def _f1(counts: Tensor) -> Tensor:
    """(..., true, answered) counts -> F1 scores; NaN where the scene is nowhere and was answered nowhere."""
    right = counts[..., 1, 1]
    return 2 * right / (2 * right + counts[..., 0, 1] + counts[..., 1, 0])


def _number(value: float) -> float | None:
    return None if value != value else value
