"""Predictions and the locations of their clips -> 95 % intervals of the scores: as DCASE has it, and over locations.

The published interval takes every example for an independent draw. Those of a location are not, so it is too narrow;
the bootstrap draws whole locations, which are what a new data set would bring.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sedcrnn.evaluation.label_scores import average_precision
from sedcrnn.evaluation.metrics import log_losses, mean_over_scenes
from sedcrnn.evaluation.result_names import ACCURACY, MACRO_ACCURACY, MACRO_LOG_LOSS, MEAN_PRECISION, PRECISION
from sedcrnn.evaluation.scores import example_losses

REPLICATES, SEED = 1000, 0
AT_ONCE = 100  # replicates whose examples are in memory together
LEVEL = (0.025, 0.975)

Interval = tuple[float, float]


def published_interval(accuracy: float, examples: int) -> Interval:
    """The interval of DCASE 2021: accuracy +- 1.96 * sqrt(accuracy * (1 - accuracy) / examples), within [0, 1]."""
    half = 1.96 * (accuracy * (1 - accuracy) / examples) ** 0.5
    return max(0.0, accuracy - half), min(1.0, accuracy + half)


def bootstrap_scores(
    log_probabilities: Tensor, scene: Tensor, location: Tensor, replicates: int = REPLICATES, seed: int = SEED
) -> dict[str, Tensor]:
    """Macro accuracy and log loss, (replicate,) each, of replicates of a data set, each of as many locations as there
    are, drawn with replacement. Log-probabilities are (example, scene), scenes and locations (example,) indices. Of
    multi-label data, whose scenes are (example, scene) labels, they are the mean average precision, the log loss, and
    `average_precision` (replicate, scene).

    A location brings all its examples, and their counts and sums are all that a replicate needs. A scene that a
    replicate lacks takes no part in its means over scenes. The draw depends on the seed and the number of locations
    alone, so all heads of a network are scored on the same replicates.
    """
    locations, scenes = int(location.max()) + 1, log_probabilities.shape[-1]
    shares = np.full(locations, 1 / locations)
    times = torch.from_numpy(np.random.default_rng(seed).multinomial(locations, shares, size=replicates)).double()
    if scene.ndim == 2:
        return _label_replicates(log_probabilities, scene, location, times)

    def drawn(values: Tensor) -> Tensor:
        """(replicate, scene) sums of the values of examples."""
        sums = torch.zeros(locations, scenes, dtype=torch.float64)
        return times @ sums.index_put_((location, scene), values.double(), accumulate=True)

    examples = drawn(torch.ones(len(scene)))
    correct = drawn(log_probabilities.argmax(-1) == scene)
    losses = drawn(log_losses(log_probabilities, scene))
    return {MACRO_ACCURACY: mean_over_scenes(correct, examples), MACRO_LOG_LOSS: mean_over_scenes(losses, examples)}


def _label_replicates(log_probabilities: Tensor, labels: Tensor, location: Tensor, times: Tensor) -> dict[str, Tensor]:
    """The scores of multi-label data in which each location occurs so many `times` (replicate, location)."""
    columns = list(zip(log_probabilities.unbind(1), labels.unbind(1), strict=True))
    precision = torch.cat(
        [
            torch.stack([average_precision(*column, part[:, location]) for column in columns], 1)
            for part in torch.split(times, AT_ONCE)
        ]
    )
    sums, examples = (
        torch.zeros(times.shape[1], dtype=torch.float64).index_add_(0, location, values)
        for values in (example_losses(log_probabilities, labels), torch.ones(len(labels), dtype=torch.float64))
    )
    losses = (times @ sums) / (times @ examples)
    return {MEAN_PRECISION: precision.nanmean(1), MACRO_LOG_LOSS: losses, PRECISION: precision}


def describe_intervals(
    scores: dict[str, Any], log_probabilities: Tensor, scene: Tensor, locations: Sequence[str]
) -> dict[str, Any]:
    """Both kinds of 95 % intervals, as plain data for metrics.json.

    Args:
        scores: report of the examples' scores (`SceneScores.report`).
        log_probabilities: (example, scene), normalised.
        scene: (example,) true class indices, or (example, scene) labels, which have no published interval, and one for
            each scene.
        locations: each example's location, by name.
    """
    names, location = np.unique(locations, return_inverse=True)
    replicates = bootstrap_scores(log_probabilities, scene, torch.from_numpy(location))
    by_scene = replicates.pop(PRECISION, None)
    drawn: dict[str, Any] = {name: tuple(np.quantile(values, LEVEL).tolist()) for name, values in replicates.items()}
    if by_scene is not None:
        columns = zip(scores["class_wise"].items(), by_scene.T.numpy(), strict=True)
        drawn[PRECISION] = {
            scene: np.nanquantile(values, LEVEL).tolist()
            for (scene, own), values in columns
            if own[PRECISION] is not None  # of a scene that is nowhere there is none
        }
    published = {
        name: published_interval(scores[name], len(scene)) for name in (MACRO_ACCURACY, ACCURACY) if name in scores
    }
    return {
        "published": published,
        "locations": {
            **drawn,
            "locations": len(names),
            "replicates": REPLICATES,
            "seed": SEED,
        },
    }
