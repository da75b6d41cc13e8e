"""Log-probabilities of the heads, and the scenes -> what training minimises; formulas in docs/recipes.md."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sedcrnn.config.stage_config import RecipeConfig
from sedcrnn.errors import ConfigError, DataError, check_choice

BALANCED = "balanced"


def cross_entropy(
    log_probabilities: Tensor, target: Tensor, weights: Tensor | None = None, smoothing: float = 0.0, gamma: float = 0.0
) -> Tensor:
    """(head,) mean over a batch of the cross-entropy of each head.

    Without focusing it is `torch.nn.functional.cross_entropy` for targets that are probabilities: weights do not change
    what the sum is divided by.

    Args:
        log_probabilities: (head, batch, scene).
        target: (batch, scene) probabilities of the true scene, one-hot or mixed.
        weights: (scene,) of the scenes' terms.
        smoothing: share of the target that all scenes get alike (label smoothing; Szegedy et al. 2016, 1512.00567).
        gamma: the focal loss's, which weighs each term by (1 - probability) ** gamma (Lin et al. 2017, 1708.02002).
    """
    if smoothing > 0:
        target = (1 - smoothing) * target + smoothing / target.shape[-1]
    if weights is not None:
        target = target * weights
    terms = target * log_probabilities
    if gamma > 0:
        # A probability of one has no derivative of its focus at gamma < 1.
        terms = terms * (1 - log_probabilities.exp()).clamp_min(torch.finfo(terms.dtype).eps) ** gamma
    return -terms.sum(-1).mean(-1)


def binary_cross_entropy(
    logits: Tensor, target: Tensor, weights: Tensor | None = None, smoothing: float = 0.0, gamma: float = 0.0
) -> Tensor:
    """(head,) mean over a batch and over scenes of each head's binary cross-entropy, for multi-label data.

    Args:
        logits: (head, batch, scene).
        target: (batch, scene) probabilities of the scenes, 0 or 1 or mixed.
        weights: (scene,) of the terms of examples that have the scene, torch's `pos_weight`.
        smoothing, gamma: as `cross_entropy`; a smoothed label lies between itself and 1/2.
    """
    target = (1 - smoothing) * target + smoothing / 2
    there, absent = F.logsigmoid(logits), F.logsigmoid(-logits)
    present_terms = target if weights is None else target * weights
    terms = present_terms * there * (gamma * absent).exp() + (1 - target) * absent * (gamma * there).exp()
    return -terms.mean((-2, -1))


def l2_penalty(parts: Mapping[nn.Module, float]) -> Tensor | float:
    """As Keras' `kernel_regularizer`: coefficient times the sum of squared kernels of each part that has one."""
    terms = [
        coefficient * weight.square().sum()
        for part, coefficient in parts.items()
        for weight in part.parameters()
        if weight.requires_grad and weight.ndim > 1  # of convolutions, dense layers and GRUs; no biases or BN
    ]
    return torch.stack(terms).sum() if terms else 0.0


def with_weights(
    recipe: RecipeConfig, labels: Sequence[Sequence[str]], scenes: Sequence[str], multi_label: bool
) -> dict[str, Any]:
    """The recipe as plain data, with the weight of every scene's term as a number, by the scenes of each clip of the
    training fold.

    Raises:
        ConfigError, DataError: as `scene_weights`; or samples are to be balanced over a scene without clips.
    """
    if recipe.sampling == BALANCED:
        _balanced(labels, scenes, multi_label)
    plain = asdict(recipe)
    weights = scene_weights(recipe.loss.class_weights, labels, scenes, multi_label)
    return {**plain, "loss": plain["loss"] | {"class_weights": weights}}


def scene_weights(
    given: str | Mapping[str, float] | None, labels: Sequence[Sequence[str]], scenes: Sequence[str], multi_label: bool
) -> dict[str, float] | None:
    """The weight of each scene's term, or None where all have the same: as given, 1 for scenes that are not named; or
    `balanced`, clips / (scenes * clips of the scene), by the clips that are trained on; in multi-label data, clips
    without the scene / clips with it.

    Raises:
        ConfigError: a scene that there is not, or all weights are zero.
        DataError: a scene without clips to train on, under `balanced`.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return _balanced(labels, scenes, multi_label)
    for scene in given:
        check_choice("scene that recipe.loss.class_weights names", scene, scenes)
    weights = {scene: given.get(scene, 1.0) for scene in scenes}
    if not any(weights.values()):
        raise ConfigError(
            "recipe.loss.class_weights gives every scene the weight 0",
            "Something has to be learnt",
            "Give one of them another weight",
        )
    return weights


def _balanced(labels: Sequence[Sequence[str]], scenes: Sequence[str], multi_label: bool) -> dict[str, float]:
    counts = Counter(scene for own in labels for scene in own)
    if absent := [scene for scene in scenes if not counts.get(scene)]:
        raise DataError(
            f"There are no clips of {', '.join(absent)} to train on",
            "Weights and samples are balanced over scenes that have clips in the training fold",
            "Leave recipe.loss.class_weights=balanced and recipe.sampling=balanced out, or add clips",
        )
    total = len(labels)
    if multi_label:
        return {scene: (total - counts[scene]) / counts[scene] for scene in scenes}
    return {scene: total / (len(scenes) * counts[scene]) for scene in scenes}
