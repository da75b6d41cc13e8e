"""Log-probabilities and labels -> how far probabilities can be believed, and the temperature that mends them."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from sedcrnn.evaluation.metrics import log_losses

TEMPERATURES = (0.05, 20.0)
"""Between which the temperature is sought."""

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Examples by the probability of their likeliest scene, in `BINS` bins of equal width.

    Attributes:
        count: (bin,) examples.
        confidence: (bin,) mean of that probability; NaN in an empty bin.
        accuracy: (bin,) share of examples that are right; NaN in an empty bin.
    """

    count: NDArray[np.float64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean over examples of their bin's |accuracy - confidence|."""
        gaps = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return float((self.count * gaps).sum() / self.count.sum())


def fit_temperature(log_probabilities: Tensor, scene: Tensor) -> float:
    """The temperature that minimises the log loss of examples (Guo et al. 2017, 1706.04599).

    Args:
        log_probabilities: (example, scene), of a fold that is not reported.
        scene: (example,) true class indices.
    """

    def loss(log_temperature: float) -> float:
        return log_losses(scaled(log_probabilities, np.exp(log_temperature)), scene).mean().item()

    found = minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURES)), method="bounded", options={"xatol": 1e-9})
    return float(np.exp(found.x))


def scaled(log_probabilities: Tensor, temperature: float) -> Tensor:
    """(example, scene) log-probabilities divided by a temperature and normalised again."""
    return (log_probabilities.double() / temperature).log_softmax(-1)


def brier_score(log_probabilities: Tensor, scene: Tensor) -> float:
    """The mean over examples of the squared distance of probabilities and label, summed over scenes: 0 to 2."""
    label = F.one_hot(scene, log_probabilities.shape[-1])
    return (log_probabilities.double().exp() - label).square().sum(-1).mean().item()


def reliability(log_probabilities: Tensor, scene: Tensor) -> Reliability:
    """Examples by their confidence.

    Args:
        log_probabilities: (example, scene), normalised.
        scene: (example,) true class indices.
    """
    confidence, predicted = log_probabilities.double().exp().max(-1)
    place = (confidence * BINS).ceil().long().sub(1).clamp(0, BINS - 1)
    count = torch.bincount(place, minlength=BINS)

    def mean(values: Tensor) -> NDArray[np.float64]:
        sums = torch.zeros(BINS, dtype=torch.float64).index_add_(0, place, values.double())
        means: NDArray[np.float64] = (sums / count).numpy()
        return means

    return Reliability(count.double().numpy(), mean(confidence), mean(predicted == scene))
