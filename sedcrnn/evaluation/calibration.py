"""A network's answers on a fold that nothing is reported on -> the temperature of each head; temperatures -> calibrated
probabilities (Guo et al. 2017, 1706.04599). Training, prediction and the report take them from here.
"""

import numpy as np
from torch import Tensor

from sedcrnn.evaluation.metrics import log_losses
from sedcrnn.evaluation.predictions import Predictions

TEMPERATURES = (0.05, 20.0)
"""Between which the temperature is searched."""


def fit_temperature(predictions: Predictions, head: str) -> float:
    """The temperature that minimises the log loss of a head's examples.

    The mean probability of the likeliest scene stays at or below (n + 1) / (n + 2) for a fold of n clips, by Laplace's
    rule of succession: a network that has had n clips right may have the next one wrong. Only a fold with hardly a
    mistake, which alone would make every answer certain, comes to this limit.
    """
    from scipy.optimize import brentq, minimize_scalar  # here, because prediction loads this module and does without

    log_probabilities = predictions.log_probabilities[head]
    clips = len(set(predictions.clip.tolist()))

    def loss(log_temperature: float) -> float:
        return log_losses(scaled(log_probabilities, np.exp(log_temperature)), predictions.scene).mean().item()

    def excess(log_temperature: float) -> float:
        confidence = scaled(log_probabilities, np.exp(log_temperature)).amax(-1).exp().mean().item()
        return confidence - (clips + 1) / (clips + 2)

    lowest, highest = np.log(TEMPERATURES)
    if excess(lowest) > 0 > excess(highest):
        lowest = brentq(excess, lowest, highest)
    found = minimize_scalar(loss, bounds=(lowest, highest), method="bounded", options={"xatol": 1e-9})
    return float(np.exp(found.x))


def scaled(log_probabilities: Tensor, temperature: float | Tensor) -> Tensor:
    """(example, scene) log-probabilities divided by a temperature, or by (example, 1) of them, and normalised again."""
    return (log_probabilities.double() / temperature).log_softmax(-1)
