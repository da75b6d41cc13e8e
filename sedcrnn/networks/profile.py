"""Network -> its number of parameters, and a table of its layers with shapes and multiply-accumulates."""

import copy
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sedcrnn.features.feature import STEPS_PER_SECOND
from sedcrnn.networks import SceneNetwork


class Parameters(NamedTuple):
    """Numbers of parameters; `keras` has BN's running means and variances, as Keras and the paper count."""

    total: int
    trainable: int
    keras: int


def count_parameters(*modules: nn.Module) -> Parameters:
    """Parameters of modules that do not overlap, such as `network.parts_of(head)`."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    buffers = [named for module in modules for named in module.named_buffers()]
    statistics = sum(buffer.numel() for name, buffer in buffers if name.endswith(("running_mean", "running_var")))
    total = sum(parameter.numel() for parameter in parameters)
    trainable = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    return Parameters(total, trainable, total + statistics)


def count_multiply_accumulates(network: SceneNetwork, inputs: Mapping[str, Tensor]) -> int:
    """Multiply-accumulates of convolutions, dense layers, GRUs and attention, for the first of a batch of inputs."""
    return _multiply_accumulates(network, inputs)[""]


def _multiply_accumulates(network: SceneNetwork, inputs: Mapping[str, Tensor]) -> dict[str, int]:
    """Those of every part of the network by its name, and of the network by the empty name.

    On the meta device a GRU is decomposed into the matrix products that the counter knows.
    """
    with FlopCounterMode(display=False) as counter:
        _run_without_values(copy.deepcopy(network), inputs)
    root = type(network).__name__
    # The counter takes a multiplication and an addition for two.
    counts = {name: sum(count.values()) // 2 for name, count in counter.get_flop_counts().items()}
    parts = {"": counter.get_total_flops() // 2}
    for part, _ in network.named_children():
        inside = [name for name in counts if f"{name}.".startswith(f"{root}.{part}.")]
        outermost = [name for name in inside if not any(name.startswith(f"{other}.") for other in inside)]
        parts[part] = sum(counts[name] for name in outermost)
    return parts


def empty_inputs(names: Sequence[str], dimensions: Mapping[str, int]) -> dict[str, Tensor]:
    """One second of silence, and of black frames, as a network of this package takes them."""
    shapes = {
        "spectrogram": [1, *(dimensions.get(name, 1) for name in ("channels", "bands", "columns"))],
        "frames": [1, STEPS_PER_SECOND, 3, *(dimensions.get(name, 1) for name in ("height", "width"))],
    }
    return {name: torch.zeros(shapes[name]) for name in names}


def layer_table(network: SceneNetwork, inputs: Mapping[str, Tensor]) -> str:
    """The layers that have parameters or change the shape, in the order in which they run, as text.

    `inputs` are those of the network by name, for one second of scene; of a batch, the first example counts.
    """
    traced = copy.deepcopy(network)
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
    costs = _multiply_accumulates(network, inputs)
    subtotals = [
        f"{part:<{widths[0]}}  {counted:>{widths[3] + 2},} parameters  {costs[part] / 1e9:8.3f} GMAC"
        for part, module in network.named_children()
        if (counted := count_parameters(module).keras)
    ]
    parts = "\n".join(["Parts:", *subtotals, "", ""]) if len(subtotals) > 1 else ""
    legend = f"""{parts}Shapes: batch x channel x band x frame (audio), frame x channel x height x width (encoder),
frame x token x channel (transformers), batch x time x embedding (GRU), batch x scene (dense).
Parameters: {total:,}, of which {trainable:,} trainable.
As Keras counts, with BN statistics, here and in the table: {keras:,}.
Cost: {costs[""] / 1e9:.2f} GMAC per second of scene."""
    return "\n".join([*lines, "", legend])


def _own_parameters(network: nn.Module, ran: Collection[str]) -> Counter[str]:
    """Name of a layer that ran -> its parameters, without those of the layers inside it that ran too.

    Attention and transformers read some of the parameters inside them without running the layers that these are in.
    """
    parameters: Counter[str] = Counter()
    for name, layer in network.named_modules():
        inside = sum(count_parameters(child).keras for child in layer.children())
        while name not in ran:
            name = name.rpartition(".")[0]
        parameters[name] += count_parameters(layer).keras - inside
    return parameters


@torch.no_grad()
def _run_without_values(network: SceneNetwork, inputs: Mapping[str, Tensor]) -> None:
    """Run a network that may be changed on torch's meta device, with shapes only."""
    network.to("meta").eval()(**{name: inputs[name][:1].to("meta") for name in network.inputs})
