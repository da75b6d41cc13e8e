"""Logits -> probabilities: of one scene of all (softmax), or, in multi-label data, of each scene by itself (sigmoid).

Log-probabilities of one scene are logits too. Those of scenes by themselves are not: their logits also hold the
probability that the scene is not there.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def log_probabilities(logits: Tensor, multi_label: bool) -> Tensor:
    """(..., scene) logits -> log-probabilities."""
    return F.logsigmoid(logits) if multi_label else logits.log_softmax(-1)


def probabilities(logits: Tensor, multi_label: bool) -> Tensor:
    """(..., scene) logits -> probabilities."""
    return logits.sigmoid() if multi_label else logits.softmax(-1)


def log_odds(logits: Tensor, multi_label: bool) -> Tensor:
    """(batch, scene) logits -> log(p / (1 - p)): what they are already where scenes are by themselves."""
    if multi_label:
        return logits
    others = [torch.cat([logits[:, :one], logits[:, one + 1 :]], 1).logsumexp(1) for one in range(logits.shape[1])]
    return logits - torch.stack(others, 1)


def log_complement(log_probability: Tensor) -> Tensor:
    """log(1 - p) of log(p), exact for p near 0 and near 1."""
    return torch.where(
        log_probability > -math.log(2), (-torch.expm1(log_probability)).log(), torch.log1p(-log_probability.exp())
    )


def scaled(log_probability: Tensor, temperature: float | Tensor, multi_label: bool = False) -> Tensor:
    """(example, scene) log-probabilities after division of the logits by a temperature, or by (example, 1) of them."""
    own = log_probability.double()
    logits = own - log_complement(own) if multi_label else own
    return log_probabilities(logits / temperature, multi_label)


def mean_of_probabilities(logits: Tensor, dim: int, multi_label: bool) -> Tensor:
    """Logits of the mean probability over a dimension; where it is of one scene of all, they are its logarithm."""
    by_scene = log_probabilities(logits, multi_label)
    mean = by_scene.logsumexp(dim) - math.log(by_scene.shape[dim])
    if not multi_label:
        return mean
    # The smaller of both probabilities keeps its digits, which 1 - p would lose.
    return mean - (F.logsigmoid(-logits).logsumexp(dim) - math.log(logits.shape[dim]))
