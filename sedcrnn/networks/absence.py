"""Windows that lack their audio or their video: what is computed of the others, and what is fused in its place."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

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


def average(log_probabilities: Tensor, of_logarithms: bool, there: Tensor | None) -> Tensor:
    """(head, batch, scene) log-probabilities -> their mean (batch, scene) as log-probabilities, over the heads that are
    `there` (head, batch); of their logarithms, it is the geometric mean.
    """
    if there is None:
        if of_logarithms:
            return log_probabilities.mean(0).log_softmax(-1)
        return log_probabilities.logsumexp(0) - math.log(len(log_probabilities))
    count, gone = there.sum(0)[:, None], ~there[..., None]
    if of_logarithms:
        return (log_probabilities.masked_fill(gone, 0).sum(0) / count).log_softmax(-1)
    return log_probabilities.masked_fill(gone, -math.inf).logsumexp(0) - count.log()
