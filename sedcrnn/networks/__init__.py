"""Named tensors -> logits per head: what the audio, visual and fusion networks have in common."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn


class SceneNetwork(nn.Module):
    """A network that answers with the scene of one second; each subclass has one or more heads.

    Attributes:
        inputs: names of the tensors it takes, in the order of `heads` and `forward`.
        head_names: names of its heads, in the order of `heads`; the last is the network's answer.
        scenes: number of scenes.
        heads: inputs -> {head: (batch, scene) logits}.
    """

    inputs: ClassVar[tuple[str, ...]]
    head_names: ClassVar[tuple[str, ...]]
    scenes: int
    heads: Callable[..., dict[str, Tensor]]

    def forward(self, *inputs: Tensor, **named_inputs: Tensor) -> Tensor:
        """(batch, scene) logits of the network's answer."""
        return self.heads(*inputs, **named_inputs)[self.head_names[-1]]

    def parts_of(self, head: str) -> list[nn.Module]:
        """The modules that a head's prediction needs, none of them inside another."""
        parts: dict[str, list[nn.Module]] = {self.head_names[-1]: [self]}
        return parts[head]
