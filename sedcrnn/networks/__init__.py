"""Named tensors -> encoded values -> logits per head: what the audio, visual and fusion networks have in common."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar

from torch import Tensor, nn

from sedcrnn.networks import probabilities

PRESENT = "present"
"""Name in a batch of what its windows have: (batch, input), true or false; without it they have everything."""


class SceneNetwork(nn.Module):
    """A network that answers with the scene of one second; each subclass has one or more heads.

    It defines `kind`, `inputs`, `head_names` and `scenes`, and either `encode` and `decode` or, where nothing is worth
    keeping between the two, `heads` alone.

    Attributes:
        kind: `audio`, `visual`, `fusion`, or a word of one's own, which checkpoints record. A stage that starts from a
            run of its own kind goes on with that network.
        inputs: names of the tensors it takes, in the order of `encode`, `heads` and `forward`.
        head_names: names of its heads, in the order of `heads`; the last is the network's answer.
        encoded: names of the values between the two halves of the network.
        encoding_parts: the parts that `encode` runs; while all of them are frozen, encoded values may be kept.
        head_arguments: arguments that encoded values do not depend on: networks that differ in these alone share them.
        takes_incomplete: whether windows may lack an input; `encode` and `decode` (or `heads`) then take `present`,
            (batch, input) in the order of `inputs`, as well.
        multi_label: whether a second may have any number of scenes, each with a probability of its own (sigmoid), and
            not one of all (softmax). A class that can do both takes it as an argument; the data decide it.
        classifiers: embedding -> the layer that classifies it, by the layer's name; what that one is given in a second,
            (batch, size) or (batch, time, size), is the embedding (`embeddings.embeddings_seen`).
        last_maps: input -> the part whose output is the last map of its encoder, by the part's name: a `TimmEncoder`,
            or a layer that gives (batch or batch * time, feature, row, column) (`grad_cam.heat_maps`).
        encode: inputs -> encoded values by name, each (batch, ...).
        decode: encoded values -> {head: (batch, scene) logits}.
    """

    kind: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]]
    head_names: tuple[str, ...]
    scenes: int
    encoded: ClassVar[tuple[str, ...]] = ()
    encoding_parts: ClassVar[tuple[str, ...]] = ()
    head_arguments: ClassVar[tuple[str, ...]] = ()
    takes_incomplete: ClassVar[bool] = False
    multi_label: bool = False
    classifiers: Mapping[str, str] = MappingProxyType({})
    last_maps: Mapping[str, str] = MappingProxyType({})
    encode: Callable[..., dict[str, Tensor]]
    decode: Callable[..., dict[str, Tensor]]

    def heads(self, *inputs: Tensor, present: Tensor | None = None, **named_inputs: Tensor) -> dict[str, Tensor]:
        """Inputs -> {head: (batch, scene) logits}."""
        masks = {} if present is None else {PRESENT: present}
        return self.decode(**self.encode(*inputs, **named_inputs, **masks), **masks)

    def heads_of(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The heads for a batch that holds the inputs, or the values that they were encoded as before."""
        masks = {PRESENT: batch[PRESENT]} if PRESENT in batch else {}
        if self.encoded and self.encoded[0] in batch:
            return self.decode(**{name: batch[name] for name in self.encoded}, **masks)
        return self.heads(**{name: batch[name] for name in self.inputs}, **masks)

    def forward(self, *inputs: Tensor, **named_inputs: Tensor) -> Tensor:
        """(batch, scene) logits of the network's answer."""
        return self.heads(*inputs, **named_inputs)[self.head_names[-1]]

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """(..., scene) logits of a head -> log-probabilities."""
        return probabilities.log_probabilities(logits, self.multi_label)

    def parts_of(self, head: str) -> list[nn.Module]:
        """The modules that a head's prediction needs, none of them inside another."""
        parts: dict[str, list[nn.Module]] = {self.head_names[-1]: [self]}
        return parts[head]


class AudioSubnetwork(SceneNetwork):
    """An audio network that can be a part of a fusion network. Beside its scenes it gives the steps of early fusion.

    Attributes:
        embedding: width of a step.
        embed: (batch, channel, band, column) -> an embedding, of which `steps` and `classify` are made.
        steps: embedding -> (batch, time, `embedding`); early fusion by GRU or gates needs five, one per video frame.
        classify: embedding -> (batch, scene) logits.
    """

    kind = "audio"
    inputs = ("spectrogram",)
    head_names = ("audio",)
    embedding: int
    embed: Callable[[Tensor], Tensor]
    steps: Callable[[Tensor], Tensor]
    classify: Callable[[Tensor], Tensor]
