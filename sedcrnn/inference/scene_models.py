"""Checkpoint -> a model that answers with probabilities, with the heads that the inputs at hand suffice for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.execution import choose_device
from sedcrnn.runs.checkpoints import Checkpoint

Probabilities = dict[str, NDArray[np.float64]]


class SceneModel(Protocol):
    """What prediction needs of a network, in whatever file it is kept.

    Attributes:
        path: the file.
        scenes: label order.
        features: configs of the features that it takes, by the name of the input.
        heads: the inputs that each head needs; the last head is the network's answer.
    """

    path: Path
    scenes: tuple[str, ...]
    features: dict[str, Any]
    heads: dict[str, tuple[str, ...]]

    def probabilities(self, inputs: Mapping[str, NDArray[Any]]) -> Probabilities:
        """Answers of all heads that the inputs suffice for.

        Args:
            inputs: `spectrogram`, `frames` or both, as `windows.network_input` makes them.

        Returns:
            (window, scene) per head, in the order of `heads`.
        """
        ...


class TorchModel:
    """A network from a checkpoint; see `SceneModel`.

    Args:
        checkpoint: with the network's config and weights.
        device: torch device.

    Raises:
        ConfigError: a device that there is not.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self.path, self.scenes, self.features = checkpoint.path, checkpoint.scenes, checkpoint.features
        self.device = choose_device(device)
        network = checkpoint.build()
        self.heads = head_inputs(network)
        self.networks = [network, *subnetworks(network).values()]
        network.to(self.device)

    @torch.inference_mode()
    def probabilities(self, inputs: Mapping[str, NDArray[Any]]) -> Probabilities:
        """See `SceneModel`."""
        network = next(network for network in self.networks if set(network.inputs) <= inputs.keys())
        tensors = {name: torch.from_numpy(inputs[name]).to(self.device) for name in network.inputs}
        return {
            head: logits.float().log_softmax(-1).double().exp().cpu().numpy()
            for head, logits in network.heads(**tensors).items()
        }


def subnetworks(network: SceneNetwork) -> dict[str, SceneNetwork]:
    """The networks inside a fusion network, by name; each answers with its own head alone."""
    return {name: part for name, part in network.named_children() if isinstance(part, SceneNetwork)}


def head_inputs(network: SceneNetwork) -> dict[str, tuple[str, ...]]:
    """The inputs that each head of a network needs."""
    needed = dict.fromkeys(network.head_names, network.inputs)
    for part in subnetworks(network).values():
        needed |= dict.fromkeys(part.head_names, part.inputs)
    return needed
