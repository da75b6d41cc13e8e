"""Network -> ONNX file that says all of itself in its metadata -> ONNX Runtime -> probabilities.

The file's metadata, each value as JSON:

    sedcrnn     version that wrote it
    kind        audio, visual or fusion
    checkpoint  digest of the weights
    opset       of the operators
    scenes      label order
    inputs      name -> shape, type and unit
    heads       name of an output -> names of the inputs that it depends on; the last is the network's answer
    features    name of an input -> config of the feature that makes it
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import sedcrnn
from sedcrnn.errors import CheckpointError, ConfigError, import_extra
from sedcrnn.inference.scene_models import Probabilities, head_inputs
from sedcrnn.networks import SceneNetwork

SUFFIX = ".onnx"

UNITS = {
    "spectrogram": "(batch, channel, band, column); decibels, each window scaled to [-1, 1] by its own min and max",
    "frames": "(batch, time, channel, height, width); RGB, 0-255",
}


class OnnxModel:
    """A network from an ONNX file that `write_onnx` wrote; see `models.SceneModel`.

    Args:
        path: the file.
        device: `cpu`.

    Raises:
        CheckpointError: the file is missing, damaged or not one of ours.
        ConfigError: another device.
        MissingExtraError: ONNX Runtime is not installed.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self.path = path
        if device not in ("cpu", "auto"):
            raise ConfigError(f"device={device} with {path}", "ONNX files run on the CPU", "Set device=cpu")
        self.session = _open_session(path)
        described = self.session.get_modelmeta().custom_metadata_map
        try:
            told = {name: json.loads(described[name]) for name in ("scenes", "inputs", "heads", "features")}
        except (KeyError, json.JSONDecodeError) as error:
            raise CheckpointError(
                f"{path} is an ONNX file, but its metadata does not describe a network of sedcrnn: {error}",
                "The files that sedcrnn.export writes do",
                "Export the run again",
            ) from error
        self.scenes: tuple[str, ...] = tuple(told["scenes"])
        self.features: dict[str, Any] = told["features"]
        self.heads: dict[str, tuple[str, ...]] = {head: tuple(needed) for head, needed in told["heads"].items()}
        self._inputs: dict[str, dict[str, Any]] = told["inputs"]

    def probabilities(self, inputs: Mapping[str, NDArray[Any]]) -> Probabilities:
        """See `models.SceneModel`."""
        heads = [head for head, needed in self.heads.items() if set(needed) <= inputs.keys()]
        batch = len(next(iter(inputs.values())))
        # The runtime wants every input, also those that no head that is asked depends on; it does not run their part.
        options = _extra("onnxruntime").RunOptions()
        options.only_execute_path_to_fetches = True
        given = {
            name: inputs[name] if name in inputs else np.zeros((batch, *told["shape"][1:]), told["type"])
            for name, told in self._inputs.items()
        }
        answers = self.session.run(heads, given, options)
        return {head: answer.astype(np.float64) for head, answer in zip(heads, answers, strict=True)}


def write_onnx(
    network: SceneNetwork,
    examples: Mapping[str, Tensor],
    path: Path,
    scenes: tuple[str, ...],
    features: Mapping[str, Any],
    **about: str,
) -> None:
    """Write a network whose outputs are the probabilities of its heads, for batches of any size.

    Args:
        network: in evaluation mode.
        examples: the inputs, two examples of each.
        path: the file, which holds the weights too.
        scenes: label order.
        features: configs of the features that make the inputs.
        about: more that the metadata tells.

    Raises:
        MissingExtraError: ONNX is not installed.
    """
    for module in ("onnx", "onnxscript"):
        _extra(module)
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        # The exporter's own: deprecated calls within torch, and GRU weights that it looks at twice.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Answers(network),
            tuple(examples[name] for name in network.inputs),
            dynamo=True,
            verbose=False,
            input_names=list(network.inputs),
            output_names=list(network.head_names),
            dynamic_shapes={"inputs": tuple({0: batch} for _ in network.inputs)},
        )
    assert program is not None
    described = {
        **about,
        "sedcrnn": sedcrnn.__version__,
        "opset": program.model.opset_imports[""],
        "scenes": scenes,
        "inputs": {
            name: {
                "shape": ["batch", *examples[name].shape[1:]],
                "type": str(examples[name].numpy().dtype),
                "unit": UNITS[name],
            }
            for name in network.inputs
        },
        "heads": head_inputs(network),
        "features": {name: features[name] for name in network.inputs},
    }
    program.model.metadata_props.update({key: json.dumps(value) for key, value in described.items()})
    program.save(path, external_data=False)


class _Answers(nn.Module):
    """A network with probabilities as outputs, in the order of its heads."""

    def __init__(self, network: SceneNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(logits.float().softmax(-1) for logits in self.network.heads(*inputs).values())


def _open_session(path: Path) -> Any:
    runtime = _extra("onnxruntime")
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}", "An ONNX file is named by its path", "Check the path")
    try:
        return runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's errors have no other class in common
        raise CheckpointError(
            f"{path} cannot be read as an ONNX file: {str(error).splitlines()[0]}",
            "It is a file that sedcrnn.export wrote, whole",
            "Export the run again",
        ) from error


def _extra(module: str) -> Any:
    return import_extra(module, "onnx", "ONNX files need")
