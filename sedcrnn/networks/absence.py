"""Windows that lack their audio or their video: what is computed of the others, and what is fused in its place."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sedcrnn.networks.probabilities import log_probabilities, mean_of_probabilities

Present = Tensor | None
"""(batch, modality) whether a window has it; None: all windows have all."""


class AbsentModality(nn.Module):
    """The embedding and the prediction that stand for a modality where it is absent: zeros, which are equal
    probabilities, for `zero`; for `learned` they are parameters, and start as zeros."""

    steps: Tensor
    logits: Tensor

    def __init__(self, embedding: int, scenes: int, kind: str) -> None:
        super().__init__()
        for name, width in (("steps", embedding), ("logits", scenes)):
            if kind == "learned":
                self.register_parameter(name, nn.Parameter(torch.zeros(width)))
            else:
                self.register_buffer(name, torch.zeros(width), persistent=False)

    def forward(self, steps: Tensor, logits: Tensor, has: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, time, embedding) and (batch, scene) with what stands for them where `has` (batch,) is false."""
        return (
            torch.where(has[:, None, None], steps, self.steps.to(steps.dtype)),
            torch.where(has[:, None], logits, self.logits.to(logits.dtype)),
        )


def rows_there(values: Tensor, has: Tensor) -> Tensor:
    """(batch, ...) values, with zeros where `has` (batch,) is false."""
    return values.masked_fill(~has.view(-1, *[1] * (values.ndim - 1)), 0)


def only_there(encode: Callable[[Tensor], dict[str, Tensor]], inputs: Tensor, has: Tensor | None) -> dict[str, Tensor]:
    """What `encode` makes of (batch, ...) inputs, computed for those alone that are there, so that batch normalisation
    sees no others; the other rows are zeros.

    Where none is there, one is computed and not used: processes that train together wait for each other's gradients.
    """
    if has is None or bool(has.all()):
        return encode(inputs)
    rows = has.nonzero().flatten() if bool(has.any()) else torch.zeros(1, dtype=torch.long, device=has.device)
    found = encode(inputs[rows])
    blank = {name: values.new_zeros(len(inputs), *values.shape[1:]) for name, values in found.items()}
    return {name: rows_there(blank[name].index_copy(0, rows, values), has) for name, values in found.items()}


def average(logits: Tensor, of_logarithms: bool, there: Tensor | None, multi_label: bool = False) -> Tensor:
    """(head, batch, scene) logits -> logits (batch, scene) of their mean probability over the heads that are `there`
    (head, batch); `of_logarithms` it is the geometric mean, normalised. They are log-probabilities, but of multi-label
    data.
    """
    by_scene = log_probabilities(logits, multi_label)
    if of_logarithms:
        # Scene by scene, the normalised geometric mean is that of the mean logit.
        values = logits if multi_label else by_scene
        if there is not None:
            values = values.masked_fill(~there[..., None], 0).sum(0) / there.sum(0)[:, None]
        else:
            values = values.mean(0)
        return values if multi_label else values.log_softmax(-1)
    if there is None:
        return mean_of_probabilities(logits, 0, multi_label)
    count, gone = there.sum(0)[:, None], ~there[..., None]
    mean = by_scene.masked_fill(gone, -math.inf).logsumexp(0) - count.log()
    if not multi_label:
        return mean
    return mean - (F.logsigmoid(-logits).masked_fill(gone, -math.inf).logsumexp(0) - count.log())
