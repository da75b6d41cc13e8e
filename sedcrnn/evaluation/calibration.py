"""A network's answers on a fold that nothing is reported on -> the temperature of each head; temperatures -> calibrated
probabilities (Guo et al. 2017, 1706.04599). Training, prediction and the report take them from here.
"""

import numpy as np
import torch

from sedcrnn.evaluation.predictions import Predictions
from sedcrnn.evaluation.scores import example_losses
from sedcrnn.networks.probabilities import scaled

TEMPERATURES = (0.05, 20.0)
"""Between which the temperature is searched."""


def fit_temperature(predictions: Predictions, head: str) -> float:
    """The temperature that minimises the log loss of a head's examples.

    The mean probability of the likeliest scene (in multi-label data: of a scene's being there, or of its not being
    there) stays at or below (n + 1) / (n + 2) for a fold of n clips, by Laplace's
    rule of succession: a network that has had n clips right may have the next one wrong. Only a fold with hardly a
    mistake, which alone would make every answer certain, comes to this limit.
    """
    from scipy.optimize import brentq, minimize_scalar  # here, because prediction loads this module and does without

    log_probabilities = predictions.log_probabilities[head]
    clips = len(set(predictions.clip.tolist()))

    multi_label = predictions.multi_label

    def loss(log_temperature: float) -> float:
        values = scaled(log_probabilities, np.exp(log_temperature), multi_label)
        return example_losses(values, predictions.scene).mean().item()

    def excess(log_temperature: float) -> float:
        found = scaled(log_probabilities, np.exp(log_temperature), multi_label).exp()
        confidence = torch.maximum(found, 1 - found) if multi_label else found.amax(-1)
        return confidence.mean().item() - (clips + 1) / (clips + 2)

    lowest, highest = np.log(TEMPERATURES)
    if excess(lowest) > 0 > excess(highest):
        lowest = brentq(excess, lowest, highest)
    found = minimize_scalar(loss, bounds=(lowest, highest), method="bounded", options={"xatol": 1e-9})
    return float(np.exp(found.x))
