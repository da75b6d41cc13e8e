"""Multi-label answers on a fold that nothing is reported on -> the probability from which on a scene is answered.

One threshold for each scene of a head, that of the highest F1 score on the 1-s windows of the validation fold.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from sedcrnn.evaluation.label_scores import HALF
from sedcrnn.networks.probabilities import scaled


def halves(scenes: Sequence[str]) -> list[float]:
    """The thresholds where none were chosen."""
    return [HALF] * len(scenes)


def choose_thresholds(log_probabilities: Tensor, labels: Tensor) -> list[float]:
    """(example, scene) log-probabilities and whether scenes are there -> the threshold of every scene. It lies in the
    middle between two examples; of equally good ones it is the nearest to 1/2, as it is for a scene that is nowhere."""
    columns = zip(log_probabilities.double().exp().unbind(1), labels.bool().unbind(1), strict=True)
    return [_choose(values, there) for values, there in columns]


def _choose(values: Tensor, there: Tensor) -> float:
    if not there.any():
        return HALF
    edges = torch.cat([values.new_zeros(1), torch.unique(values), values.new_ones(1)])
    candidates = torch.cat([(edges[1:] + edges[:-1]) / 2, values.new_tensor([HALF])])
    # Examples are answered from a candidate on; counts of those below it, by bisection in sorted values.
    right, answered = (len(own) - torch.searchsorted(own.sort().values, candidates) for own in (values[there], values))
    f1 = 2 * right / (answered + there.sum())
    best = candidates[f1 == f1.max()]
    return float(best[(best - HALF).abs().argmin()])


def after_temperature(thresholds: Sequence[float], temperature: float) -> list[float]:
    """Thresholds of a network's own probabilities -> those of the same answers among calibrated ones."""
    found: list[float] = scaled(torch.tensor(thresholds, dtype=torch.float64).log(), temperature, True).exp().tolist()
    return found
