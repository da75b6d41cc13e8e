"""Windows -> the same windows with the sound or the picture missing."""

from collections.abc import Mapping

import torch
from torch import Tensor

TRACKS = {"spectrogram": "sound", "frames": "picture"}
"""Input of a network -> what it is made from, in a user's words."""

MISSING = {"spectrogram": -1.0, "frames": 0.0}
"""What the front end makes of silence, in every band and frame; and black. Recordings without sound or picture bring
these, and a network need not have an input of its own for them."""


def without(inputs: Mapping[str, Tensor], name: str, where: Tensor | None = None) -> dict[str, Tensor]:
    """The inputs of a batch with one of them missing.

    Args:
        inputs: named tensors (batch, ...).
        name: `spectrogram` or `frames`.
        where: (batch,) of which examples it is missing; None: of all.
    """
    values = inputs[name]
    gone = torch.ones(len(values), dtype=torch.bool, device=values.device) if where is None else where
    return {**inputs, name: values.masked_fill(gone.view(-1, *[1] * (values.ndim - 1)), MISSING[name])}


def drop_modalities(inputs: Mapping[str, Tensor], probability: float) -> dict[str, Tensor]:
    """Modality dropout: every example loses its sound or its picture, one as often as the other and never both.

    Args:
        inputs: `spectrogram` and `frames`, (batch, ...) each.
        probability: that it loses one of them.
    """
    batch = len(inputs["frames"])
    loses, sound = torch.rand(batch) < probability, torch.rand(batch) < 0.5
    device = inputs["frames"].device
    return without(without(inputs, "spectrogram", (loses & sound).to(device)), "frames", (loses & ~sound).to(device))
