"""Batch -> convex combinations of its examples and of their labels (mixup; Zhang et al. 2018, 1710.09412; paper.md)."""

from collections.abc import Mapping

import torch
from torch import Tensor


def draw_mixup_weights(batch: int, alpha: float) -> Tensor:
    """(batch,) weights of the examples themselves against their partners, from Beta(alpha, alpha)."""
    return torch.distributions.Beta(alpha, alpha).sample((batch,))


def mixup(
    inputs: Mapping[str, Tensor], target: Tensor, weights: Tensor, partners: Tensor | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """Mix every example of a batch with another one.

    Args:
        inputs: named tensors (batch, ...); all are mixed alike.
        target: (batch, scene) label distributions.
        weights: (batch,) weight of each example against its partner.
        partners: (batch,) index of each example's partner; a random permutation unless given.
    """
    order = torch.randperm(len(target)) if partners is None else partners
    order, weights = order.to(target.device), weights.to(target.device)

    def mix(values: Tensor) -> Tensor:
        share = weights.view(-1, *[1] * (values.ndim - 1))
        return share * values + (1 - share) * values[order]

    return {name: mix(values) for name, values in inputs.items()}, mix(target)
