"""Scores of whatever data: of one scene to an example, or of any number of them, as its labels say."""

import torch
from torch import Tensor

from sedcrnn.evaluation.label_scores import LabelScores, label_losses
from sedcrnn.evaluation.metrics import SceneScores, Scores, log_losses


def new_scores(scenes: int, multi_label: bool, device: torch.device | str = "cpu") -> Scores:
    """Scores of nothing yet."""
    return LabelScores(scenes, device) if multi_label else SceneScores(scenes, device)


def score(log_probabilities: Tensor, scene: Tensor, thresholds: Tensor | None = None) -> Scores:
    """The scores of (example, scene) log-probabilities, and of (example,) true class indices; or of (example, scene)
    labels, with their thresholds (`LabelScores`)."""
    scenes = log_probabilities.shape[-1]
    scores = LabelScores(scenes, thresholds=thresholds) if scene.ndim == 2 else new_scores(scenes, False)
    scores.update(log_probabilities, scene)
    return scores


def example_losses(log_probabilities: Tensor, scene: Tensor) -> Tensor:
    """(example,) log losses; of (example, scene) labels the mean over scenes."""
    if scene.ndim == 2:
        return label_losses(log_probabilities, scene).mean(-1)
    return log_losses(log_probabilities, scene)
