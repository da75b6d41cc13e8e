"""Where a network looked: gradient-weighted class activation maps (Grad-CAM, Selvaraju et al. 2017, 1610.02391), each
place by its own gradient (HiResCAM, Draelos and Carin 2020, 2011.08891)."""

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sedcrnn.errors import ConfigError
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.backbones import TimmEncoder, last_map
from sedcrnn.networks.probabilities import log_odds


def heat_maps(
    network: SceneNetwork,
    heads: Callable[..., Mapping[str, Tensor]],
    inputs: Mapping[str, Tensor],
    head: str,
    scene: int,
) -> dict[str, Tensor]:
    """What in each input speaks for a scene: of the input's size without channels, in [0, 1].

    The last map of the input's encoder, each of its features at each place weighed by the gradient of the scene's
    log-odds there; what is negative speaks against the scene and is zero. The largest value of each window is one; all
    are zero where nothing speaks for the scene, or where the head does not depend on the input.

    Where the map is averaged over its places, this is Grad-CAM, which weighs by the mean gradient. Under the maximum it
    is not: there Grad-CAM is warm wherever a feature is large, also where it is not the largest and changes nothing.
    Log-odds are the same for logits, which may all rise together, and for log-probabilities, which saturate.

    Args:
        network: in evaluation mode; its `last_maps` name the encoders.
        heads: the network's `heads`, or another function of the inputs that has it run.
        inputs: by name; (batch, channel, band, column) for a spectrogram, (batch, time, channel, height, width) for
            frames. Those without a last map are left out of the answer.
        head, scene: whose log-odds.

    Raises:
        ConfigError: as `check_last_maps`.
    """
    check_last_maps(network, inputs)
    held: dict[str, Tensor] = {}
    places: dict[str, Callable[[Tensor], Tensor]] = {}

    def hold(name: str, output: Tensor) -> Tensor:
        held[name] = output.detach().requires_grad_()  # what lies before it needs no gradient
        return held[name]

    # cuDNN's GRU has no gradient in evaluation mode.
    with ExitStack() as hooks, torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        for name in inputs.keys() & network.last_maps.keys():
            layer, places[name] = _map_layer(network.get_submodule(network.last_maps[name]))
            hooks.enter_context(layer.register_forward_hook(lambda *given, name=name: hold(name, given[-1])))
        odds = log_odds(heads(**inputs)[head], network.multi_label)[:, scene].sum()
        slopes = torch.autograd.grad(odds, list(held.values()), allow_unused=True, materialize_grads=True)
    return {
        name: _heat(places[name](values.detach()), places[name](slope), inputs[name])
        for (name, values), slope in zip(held.items(), slopes, strict=True)
    }


def check_last_maps(network: SceneNetwork, inputs: Collection[str]) -> None:
    """Refuse inputs whose encoder's last map has no places to show.

    Raises:
        ConfigError: a timm network whose tokens lie on no grid.
    """
    for name in inputs & network.last_maps.keys():
        encoder = network.get_submodule(network.last_maps[name])
        if isinstance(encoder, TimmEncoder) and not encoder.on_a_grid:
            kind = encoder.backbone.pretrained_cfg["architecture"]
            raise ConfigError(
                f"The backbone '{kind}', which looks at the {name}, has no last map of rows and columns",
                "Heat maps show where such a map speaks for a scene; convolutional networks have one, and transformers "
                "whose tokens are the patches of a grid",
                "Ask for the tracks' shares alone (reasons=true, or predict(reasons=True)), or train with another "
                "backbone",
            )


def _map_layer(part: nn.Module) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """The layer whose output is the last map, and what makes (image, feature, row, column) of it."""
    return (part.last, partial(last_map, part.backbone)) if isinstance(part, TimmEncoder) else (part, lambda maps: maps)


def _heat(maps: Tensor, slopes: Tensor, inputs: Tensor) -> Tensor:
    """(image, feature, row, column) and its gradient -> the size of the inputs without channels."""
    heat = F.relu((slopes * maps).sum(1, keepdim=True)).float()
    heat = F.interpolate(heat, tuple(inputs.shape[-2:]), mode="bilinear", align_corners=False)
    heat = heat.reshape(*inputs.shape[:-3], *inputs.shape[-2:])
    largest = heat.flatten(1).amax(1).clamp_min(torch.finfo(heat.dtype).tiny)
    return heat / largest.view(-1, *[1] * (heat.ndim - 1))
