"""Steps over time -> one step: their mean, weighed by a learned query."""

import torch
from torch import Tensor, nn

from sedcrnn.networks.initialisation import glorot


class AttentionOverTime(nn.Module):
    """Attention pooling (Ilse et al. 2018, 1802.04712): the mean of the steps, weighed by the softmax over time of
    w . tanh(V step), with the learned query w; no biases, as published.

    Args:
        embedding: features of a step.
        hidden: length of the query.
    """

    def __init__(self, embedding: int, hidden: int) -> None:
        super().__init__()
        self.key = glorot(nn.Linear(embedding, hidden, bias=False))
        self.query = glorot(nn.Linear(hidden, 1, bias=False))

    def forward(self, steps: Tensor) -> Tensor:
        """(batch, time, embedding) -> (batch, 1, embedding)."""
        weights: Tensor = self.query(torch.tanh(self.key(steps))).softmax(1)
        return (weights * steps).sum(1, keepdim=True)
