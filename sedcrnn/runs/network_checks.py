"""What a checkpoint says of its network -> the network built and run without values, before any memory is taken.

A config of a few bytes can ask for terabytes. Built on torch's meta device, its network takes none. Its state then
has to be the weights that the file holds, so that it is no larger than the file, and its maps of one second have to fit
into memory.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sedcrnn.config.targets import build, is_ours
from sedcrnn.errors import CheckpointError, SedcrnnError, TrustError
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.profile import empty_inputs

LARGEST_MAP = 4 << 30
"""Bytes of the largest map of one second; the paper's VGG16 has 64 MB."""


def check_weights(path: Path, weights: Mapping[str, Any]) -> None:
    """Refuse what is no plain tensor on the CPU, or claims to be larger than what is stored of it."""
    for name, value in weights.items():
        plain = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
        if not plain or value.is_quantized or value.untyped_storage().nbytes() < value.nbytes:
            raise CheckpointError(
                f"{path} has something else than numbers as its weight '{name}'",
                "Weights are dense tensors, of which the file holds every number",
                "Use a file that sedcrnn train wrote",
            )


def check_fits(
    path: Path, node: Mapping[str, Any], features: Mapping[str, Any], scenes: int, weights: Mapping[str, Tensor]
) -> None:
    """Refuse a network of this package whose state is not these weights, which does not take what its features make, or
    does not answer for so many scenes. Those of other packages, which are trusted, may need more than shapes.

    Raises:
        CheckpointError: it does not fit.
        TrustError: as `build`.
    """
    if not is_ours(node):
        return
    try:
        with torch.device("meta"), torch.no_grad():
            network: SceneNetwork = build(node, "network", trusted=False)
            _check_state(path, network, weights)
            if network.scenes != scenes:
                raise _unfit(path, f"it answers for {network.scenes} scenes, and the file names {scenes}")
            if set(network.inputs) <= features.keys() and all(map(is_ours, features.values())):
                made = [build(features[name], "feature", trusted=False) for name in network.inputs]
                dimensions = {name: size for feature in made for name, size in feature.dimensions.items()}
                _watch_maps(path, network)
                network.eval().heads(**empty_inputs(network.inputs, dimensions))
    except (CheckpointError, TrustError):
        raise
    except Exception as error:  # whatever sizes that make no sense lead to
        found = error.found if isinstance(error, SedcrnnError) else f"{type(error).__name__}: {error}"
        raise _unfit(path, " ".join(found.split())[:300]) from error


def _check_state(path: Path, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    for name in expected | found:
        if expected.get(name) != found.get(name):
            raise _unfit(path, f"'{name}' is {found.get(name, 'missing')} instead of {expected.get(name, 'absent')}")


def _watch_maps(path: Path, network: nn.Module) -> None:
    def check(_: nn.Module, __: Any, made: Any) -> None:
        if isinstance(made, Tensor) and made.nbytes > LARGEST_MAP:
            raise _unfit(path, f"a map of one second has the shape {tuple(made.shape)}")

    for module in network.modules():
        module.register_forward_hook(check)


def _unfit(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        f"The weights in {path} do not fit its network: {found}",
        "They have the names and shapes that its config leads to, and a map of one second takes "
        f"{LARGEST_MAP >> 30} GB at most",
        "Train the stage again, or use the version of sedcrnn and timm that wrote it",
    )
