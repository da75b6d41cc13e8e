"""Checkpoint or ONNX file -> a model that answers with the probabilities of the heads that its inputs suffice for."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sedcrnn.errors import CheckpointError, ConfigError, check_choice, import_extra
from sedcrnn.evaluation.calibration import scaled
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.execution import choose_device, choose_precision
from sedcrnn.runs.checkpoints import NO_TEMPERATURES_KEY, TEMPERATURES_KEY, Checkpoint

ONNX_SUFFIX = ".onnx"

Probabilities = dict[str, NDArray[np.float64]]


class SceneModel(ABC):
    """What prediction needs of a network, in whatever file it is kept.

    Attributes:
        path: the file.
        scenes: label order.
        features: configs of the features that it takes, by the name of the input.
        heads: the inputs that each head needs; the last head is the network's answer.
        temperatures: of the heads whose answers are calibrated; empty for the network's own.
        no_temperatures: why there are none.
    """

    path: Path
    scenes: tuple[str, ...]
    features: dict[str, Any]
    heads: dict[str, tuple[str, ...]]
    temperatures: Mapping[str, float] = MappingProxyType({})
    no_temperatures: str = ""

    @abstractmethod
    def probabilities(self, inputs: Mapping[str, NDArray[Any]]) -> Probabilities:
        """The network's own answers, of all heads that the inputs suffice for: (window, scene) per head, in the order
        of `heads`.

        Args:
            inputs: by name, as `Feature.network_input` makes them.
        """

    def calibrated_probabilities(self, inputs: Mapping[str, NDArray[Any]]) -> Probabilities:
        """As `probabilities`, after the temperature of each head that has one."""
        return calibrated(self.probabilities(inputs), self.temperatures)


class TorchModel(SceneModel):
    """A network from a checkpoint, in float32 (`32-true`), in `bf16-mixed`, or in what is native (`auto`).

    Raises:
        ConfigError: a device that torch does not have here.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu", precision: str = "32-true") -> None:
        self.path, self.scenes, self.features = checkpoint.path, checkpoint.scenes, checkpoint.features
        self.temperatures, self.no_temperatures = checkpoint.temperatures, checkpoint.no_temperatures
        check_choice("precision of predictions", precision, ("auto", "32-true", "bf16-mixed"))
        self.device = choose_device(device)
        self.device_type = torch.device(self.device).type
        self.mixed = choose_precision(precision, self.device_type) == "bf16-mixed"
        network = checkpoint.build().to(self.device)
        self.heads = head_inputs(network)
        self.networks = [network, *subnetworks(network).values()]

    @torch.inference_mode()
    def probabilities(self, inputs: Mapping[str, NDArray[Any]]) -> Probabilities:
        """See `SceneModel`."""
        network = next(network for network in self.networks if set(network.inputs) <= inputs.keys())
        tensors = {name: torch.from_numpy(inputs[name]).to(self.device) for name in network.inputs}
        with torch.autocast(self.device_type, torch.bfloat16, enabled=self.mixed):
            heads = network.heads(**tensors)
        return {head: logits.float().log_softmax(-1).double().exp().cpu().numpy() for head, logits in heads.items()}


class OnnxModel(SceneModel):
    """A network from an ONNX file that `onnx_export.write_onnx` wrote, which runs on the CPU.

    Raises:
        CheckpointError: the file is missing, damaged or not one of ours.
    """

    def __init__(self, path: Path, device: str = "cpu", precision: str = "32-true") -> None:
        self.path = path
        if device not in ("cpu", "auto"):
            raise ConfigError(f"device={device} with {path}", "ONNX files run on the CPU", "Set device=cpu")
        if precision not in ("32-true", "auto"):
            raise ConfigError(f"precision={precision} with {path}", "ONNX files run in 32-true", "Leave it out")
        self.runtime = import_extra("onnxruntime", "onnx", "ONNX files need")
        if not path.is_file():
            raise CheckpointError(f"There is no file {path}", "An ONNX file is named by its path", "Check the path")
        try:
            self.session = self.runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
            metadata = self.session.get_modelmeta().custom_metadata_map
            described = {name: json.loads(metadata[name]) for name in ("scenes", "inputs", "heads", "features")}
        except Exception as error:  # the runtime's errors have no other class in common
            found = f"lacks the metadata {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
            raise CheckpointError(
                f"{path} cannot be read as an ONNX file of this package: {found}",
                "It is a file that `sedcrnn export` wrote, whole",
                "Export the run again",
            ) from error
        self.scenes, self.features = tuple(described["scenes"]), described["features"]
        self.heads = {head: tuple(needed) for head, needed in described["heads"].items()}
        self.temperatures = json.loads(metadata.get(TEMPERATURES_KEY, "{}"))
        self.no_temperatures = json.loads(metadata.get(NO_TEMPERATURES_KEY, '"it was exported by an earlier version"'))
        self._inputs: dict[str, dict[str, Any]] = described["inputs"]

    def probabilities(self, inputs: Mapping[str, NDArray[Any]]) -> Probabilities:
        """See `SceneModel`."""
        heads = [head for head, needed in self.heads.items() if set(needed) <= inputs.keys()]
        batch = len(next(iter(inputs.values())))
        # The runtime wants every input, also those that none of these heads needs; it does not run their part.
        options = self.runtime.RunOptions()
        options.only_execute_path_to_fetches = True
        given = {
            name: inputs[name] if name in inputs else np.zeros((batch, *described["shape"][1:]), described["type"])
            for name, described in self._inputs.items()
        }
        answers = self.session.run(heads, given, options)
        return {head: answer.astype(np.float64) for head, answer in zip(heads, answers, strict=True)}


def calibrated(found: Probabilities, temperatures: Mapping[str, float]) -> Probabilities:
    """Probabilities of heads after the temperature of each that has one. What is too small for float32, in which ONNX
    files answer, is taken for its smallest number, so that both kinds of file agree."""
    smallest = torch.finfo(torch.float32).tiny
    logarithms = {head: torch.from_numpy(found[head]).clamp_min(smallest).log() for head in found.keys() & temperatures}
    return found | {head: scaled(values, temperatures[head]).exp().numpy() for head, values in logarithms.items()}


def subnetworks(network: SceneNetwork) -> dict[str, SceneNetwork]:
    """The networks inside a fusion network, by name; each answers with its own head alone."""
    return {name: part for name, part in network.named_children() if isinstance(part, SceneNetwork)}


def head_inputs(network: SceneNetwork) -> dict[str, tuple[str, ...]]:
    """The inputs that each head of a network needs."""
    needed = dict.fromkeys(network.head_names, network.inputs)
    for part in subnetworks(network).values():
        needed |= dict.fromkeys(part.head_names, part.inputs)
    return needed
