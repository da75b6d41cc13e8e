"""Adam with epsilon where Keras has it, as the authors trained (docs/paper.md)."""

from collections.abc import Callable
from typing import Any

from torch.optim import Adam


class KerasAdam(Adam):
    """torch's Adam, whose epsilon is divided by the root of the second moment's bias correction in each step.

    Keras updates by lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps): epsilon stands beside a root that is not
    corrected. torch corrects the root first, so the same epsilon is larger there by 1 / sqrt(1 - b2^t), which is 32 in
    the first step.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step, as `Adam.step`."""
        given = [group["eps"] for group in self.param_groups]
        try:
            for group in self.param_groups:
                taken = [float(state["step"]) for p in group["params"] if "step" in (state := self.state.get(p, {}))]
                step = max(taken, default=0.0) + 1
                group["eps"] /= (1 - group["betas"][1] ** step) ** 0.5
            return super().step(closure)
        finally:
            for group, eps in zip(self.param_groups, given, strict=True):
                group["eps"] = eps
