"""Batch -> convex combinations of its examples (mixup; Zhang et al. 2018, 1710.09412; docs/paper.md), or examples that
lack their audio or their video (modality dropout)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from sedcrnn.networks import PRESENT

TRACKS = {"spectrogram": "audio", "frames": "video"}  # what an input is made from, in a user's words
MISSING = {"spectrogram": -1.0, "frames": 0.0}
"""Network input of silence and of black frames, which recordings without audio or video bring."""


def draw_mixup_weights(batch: int, alpha: float) -> Tensor:
    """(batch,) weights of the examples themselves against their partners, from Beta(alpha, alpha)."""
    return torch.distributions.Beta(alpha, alpha).sample((batch,))


def mixup(
    inputs: Mapping[str, Tensor], target: Tensor, weights: Tensor, partners: Tensor | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """Mix the inputs (batch, ...) and the label distribution (batch, scene) of every example with its partner's.

    Args:
        inputs, target: all are mixed alike. Inputs may say what is `present`: examples that have something else than
            their partners stay as they are.
        weights: (batch,) weight of each example against its partner.
        partners: (batch,) index of each example's partner; None: a random permutation.
    """
    order = torch.randperm(len(target)) if partners is None else partners
    # Without waiting for a GPU to have done what it was given before.
    order, weights = (one.to(target.device, non_blocking=True) for one in (order, weights))
    values = dict(inputs)
    kept = {}
    if PRESENT in values:
        present = kept[PRESENT] = values.pop(PRESENT)
        weights = weights.masked_fill((present != present[order]).any(1), 1.0)

    def mix(values: Tensor) -> Tensor:
        share = weights.view(-1, *[1] * (values.ndim - 1))
        return share * values + (1 - share) * values[order]

    return {name: mix(one) for name, one in values.items()} | kept, mix(target)


def without(inputs: Mapping[str, Tensor], name: str, where: Tensor | None = None) -> dict[str, Tensor]:
    """The inputs of a batch (batch, ...) with the spectrogram or the frames missing: of all examples, or of those that
    a mask (batch,) says."""
    values = inputs[name]
    if where is None:
        return {**inputs, name: torch.full_like(values, MISSING[name])}
    gone = where.to(values.device, non_blocking=True)
    return {**inputs, name: values.masked_fill(gone.view(-1, *[1] * (values.ndim - 1)), MISSING[name])}


def drop_present(present: Tensor, probability: float) -> Tensor:
    """Modality dropout by what windows are said to have (batch, audio and video), for networks that go by that; windows
    that lack one modality already keep the other."""
    loses, audio = _draw_losses(len(present), probability)
    lost = torch.stack([loses & audio, loses & ~audio], 1).to(present.device, non_blocking=True)
    return present & ~(lost & present.all(1, keepdim=True))


def _draw_losses(batch: int, probability: float) -> tuple[Tensor, Tensor]:
    """Which examples lose a modality, and for which of them it is audio."""
    return torch.rand(batch) < probability, torch.rand(batch) < 0.5


def drop_modalities(inputs: Mapping[str, Tensor], probability: float) -> dict[str, Tensor]:
    """Modality dropout: an example loses its audio or its video, one as often as the other and never both."""
    loses, audio = _draw_losses(len(inputs["frames"]), probability)
    if PRESENT in inputs:  # what lacks one modality already keeps the other
        loses &= inputs[PRESENT].all(1).cpu()
    return without(without(inputs, "spectrogram", loses & audio), "frames", loses & ~audio)
