"""Adam with epsilon where Keras has it, as the authors trained (docs/paper.md)."""

from typing import Any

from torch.optim import Adam


class KerasAdam(Adam):
    """torch's Adam, fused or not, that takes epsilon as Keras does.

    Keras updates by lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps), torch by lr / (1 - b1^t) m / (sqrt(v) /
    sqrt(1 - b2^t) + eps). The two are the same where torch's epsilon is Keras' divided by sqrt(1 - b2^t), which is 32
    times as large in the first step. So every step is torch's with that epsilon. Steps are counted in the groups, which
    a checkpoint keeps, as Keras counts them: once for all parameters.
    """

    def __init__(self, params: Any, eps: float = 1e-7, **arguments: Any) -> None:
        super().__init__(params, eps=eps, **arguments)
        self.register_step_pre_hook(self._place_epsilon)

    def _place_epsilon(self, *_: Any) -> None:
        for group in self.param_groups:
            group["steps"] = group.get("steps", 0) + 1
            group["eps"] = self.defaults["eps"] / (1 - group["betas"][1] ** group["steps"]) ** 0.5
