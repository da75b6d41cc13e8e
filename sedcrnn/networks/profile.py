"""Network -> its number of parameters, and a table of its layers with shapes and multiply-accumulates."""

import copy
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sedcrnn.networks import SceneNetwork


class Parameters(NamedTuple):
    """Numbers of parameters.

    Attributes:
        total: all parameters.
        trainable: those with a gradient.
        keras: as Keras counts, and the paper: with BN's running means and variances.
    """

    total: int
    trainable: int
    keras: int


def count_parameters(*modules: nn.Module) -> Parameters:
    """Parameters of modules that do not overlap, such as `network.parts_of(head)`."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    statistics = [
        buffer
        for module in modules
        for name, buffer in module.named_buffers()
        if name.endswith(("running_mean", "running_var"))
    ]
    total = sum(parameter.numel() for parameter in parameters)
    return Parameters(
        total=total,
        trainable=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        keras=total + sum(buffer.numel() for buffer in statistics),
    )


def count_by_modality(network: SceneNetwork, head: str) -> dict[str, int]:
    """Parameters, as Keras counts, that a head's prediction needs of the audio and of the visual subnetwork.

    What fusion adds to them is in neither, and a modality that the head does without has none.
    """
    needed = network.parts_of(head)
    counts: dict[str, int] = {}
    for modality in ("audio", "visual"):
        subnetwork = network if network.head_names == (modality,) else getattr(network, modality, nn.Module())
        whole = any(subnetwork is module for part in needed for module in part.modules())
        inside = [part for part in needed if any(part is module for module in subnetwork.modules())]
        counts[modality] = count_parameters(*([subnetwork] if whole else inside)).keras
    return counts


def count_multiply_accumulates(network: SceneNetwork, inputs: Mapping[str, Tensor]) -> int:
    """Multiply-accumulates of convolutions, dense layers, GRUs and attention, for the first of a batch of inputs.

    Nothing is computed: the network runs on torch's meta device, where a GRU is also decomposed into the matrix
    products that the counter knows (on a GPU it would be one kernel that counts as nothing).
    """
    with FlopCounterMode(display=False) as counter:
        _run_without_values(_without_values(network), inputs)
    operations: int = counter.get_total_flops()
    return operations // 2  # the counter takes a multiplication and an addition for two


def layer_table(network: SceneNetwork, inputs: Mapping[str, Tensor]) -> str:
    """The layers that have parameters or change the shape, in the order in which they run, as text.

    Args:
        network: left as it is, and not computed.
        inputs: its inputs by name, for one second of scene; of a batch, the first example counts.
    """
    traced = _without_values(network)
    ran: dict[str, tuple[nn.Module, torch.Size, bool]] = {}  # with the output's shape, and whether it is another

    def note(name: str, layer: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        ran[name] = layer, first.shape, not given or first.shape != given[0].shape

    for name, layer in traced.named_modules():
        layer.register_forward_hook(lambda layer, given, output, name=name: note(name, layer, given, output))
    _run_without_values(traced, inputs)
    parameters = _own_parameters(traced, ran)
    rows = [("layer", "type", "output shape", "parameters")]
    for name, (layer, shape, changed) in ran.items():
        if parameters[name] or (changed and not list(layer.children())):
            rows.append((name, type(layer).__name__, " x ".join(map(str, shape)), f"{parameters[name]:,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {shape:<{widths[2]}}  {parameters:>{widths[3]}}"
        for name, kind, shape, parameters in rows
    ]
    total, trainable, keras = count_parameters(network)
    return "\n".join(
        [
            *lines,
            "",
            "Shapes: batch x channel x band x frame (audio), frame x channel x height x width (encoder),",
            "frame x token x channel (transformers), batch x time x embedding (GRU), batch x scene (dense).",
            f"Parameters: {total:,}, of which {trainable:,} trainable.",
            f"As Keras counts, with BN statistics, here and in the table: {keras:,}.",
            f"Cost: {count_multiply_accumulates(network, inputs) / 1e9:.2f} GMAC per second of scene.",
        ]
    )


def _own_parameters(network: nn.Module, ran: Collection[str]) -> Counter[str]:
    """Name of a layer that ran -> its parameters, without those of the layers inside it that ran too.

    Attention and transformers read some of the parameters inside them without running the layers that these are in.
    """
    parameters: Counter[str] = Counter()
    for name, layer in network.named_modules():
        inside = sum(count_parameters(child).keras for child in layer.children())
        owner = name
        while owner not in ran:
            owner = owner.rpartition(".")[0]
        parameters[owner] += count_parameters(layer).keras - inside
    return parameters


def _without_values(network: SceneNetwork) -> SceneNetwork:
    """A copy with shapes only."""
    return copy.deepcopy(network).to("meta").eval()


@torch.no_grad()
def _run_without_values(network: SceneNetwork, inputs: Mapping[str, Tensor]) -> None:
    network(**{name: inputs[name][:1].to("meta") for name in network.inputs})
