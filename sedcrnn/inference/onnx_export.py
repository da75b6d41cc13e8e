"""Trained network -> ONNX file that describes itself -> a check that it answers as torch does.

The file's metadata, each value as JSON:

    sedcrnn     version that wrote it
    kind        audio, visual or fusion
    checkpoint  digest of the weights
    opset       of the operators
    scenes      label order
    inputs      name -> shape, type and unit
    heads       name of an output -> names of the inputs that it depends on; the last is the network's answer
    features    name of an input -> config of the feature that makes it
    temperatures     name of an output -> T, with which its probabilities p are calibrated: softmax(log(p) / T)
    no_temperatures  why there are none
    multi_label      whether a second has any number of scenes; p is then calibrated by sigmoid(log(p / (1 - p)) / T)
    thresholds       then name of an output -> by scene, the p, before the temperature, from which on it is there
    seal             digest of all that is before (`onnx_files`)
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sedcrnn
from sedcrnn.datasets.synthetic.drawing import mp4
from sedcrnn.datasets.synthetic.waves import RATE, wav
from sedcrnn.errors import ConfigError, SedcrnnError, import_extra, nearest
from sedcrnn.inference.media_windows import batches, build_features, media_clip, network_inputs, windows
from sedcrnn.inference.onnx_files import seal_onnx
from sedcrnn.inference.scene_models import ONNX_SUFFIX, OnnxModel, calibrated, head_inputs, subnetworks
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.probabilities import probabilities
from sedcrnn.runs.checkpoints import NO_TEMPERATURES_KEY, TEMPERATURES_KEY, THRESHOLDS_KEY, load_checkpoint
from sedcrnn.runs.files import atomic

LARGEST_DIFFERENCE = 1e-4
"""Between a probability of torch and of ONNX Runtime, which add in different orders; 1e-7 is usual."""

UNITS = {
    "spectrogram": "(batch, channel, band, column); decibels, each window scaled to [-1, 1] by its own min and max",
    "frames": "(batch, time, channel, height, width); RGB, 0-255",
}


def export(run: str, output: str, part: str | None = None) -> dict[str, float]:
    """Write the network of a run, or one part of a fusion network, as an ONNX file, which then answers without the run.

    The file appears only once it has been found to answer as torch does, for batches of two sizes.

    Returns:
        The largest difference between a probability of torch and of ONNX Runtime, per head.

    Raises:
        SedcrnnError: a run that cannot be loaded, a wrong suffix, a part that the network does not have, ONNX is not
            installed, or the answers differ by more than 1e-4.
    """
    path = Path(output)
    if path.suffix.lower() != ONNX_SUFFIX:
        raise ConfigError(f"output={output}", f"ONNX files have the suffix {ONNX_SUFFIX}", "Add it to the name")
    checkpoint = load_checkpoint(run)
    network = checkpoint.build()
    if part is not None:
        parts = subnetworks(network)
        if part not in parts:
            raise ConfigError(
                f"part={part}",
                f"The network has the parts {', '.join(parts)}; the nearest is {nearest(part, parts)}"
                if parts
                else f"The network is of the kind '{network.kind}' and has no parts",
                "Correct it, or leave it out for the whole network",
            )
        network = parts[part]
    examples = noise_inputs(checkpoint.features, network.inputs, 3)
    with atomic(path) as temporary:
        described: dict[str, Any] = {"kind": part or checkpoint.kind, "checkpoint": checkpoint.digest}
        temperatures = {head: value for head, value in checkpoint.temperatures.items() if head in network.head_names}
        described |= {TEMPERATURES_KEY: temperatures, NO_TEMPERATURES_KEY: checkpoint.no_temperatures}
        thresholds = {head: value for head, value in checkpoint.thresholds.items() if head in network.head_names}
        described |= {"multi_label": network.multi_label, THRESHOLDS_KEY: thresholds}
        write_onnx(network, examples, temporary, checkpoint.scenes, checkpoint.features, **described)
        differences = _differences(network, temperatures, OnnxModel(temporary), examples)
        if not max(differences.values()) <= LARGEST_DIFFERENCE:
            raise SedcrnnError(
                f"ONNX Runtime and torch differ by {max(differences.values()):.1e} in a probability",
                f"They differ by {LARGEST_DIFFERENCE:g} at most",
                f"Nothing was written to {path}; try other versions of torch and onnxruntime",
            )
    return differences


def write_onnx(
    network: SceneNetwork,
    examples: Mapping[str, Tensor],
    path: Path,
    scenes: tuple[str, ...],
    features: Mapping[str, Any],
    **about: Any,
) -> None:
    """Write a network whose outputs are the probabilities of its heads, for batches of any size; `examples` holds two
    or more of each of its inputs, and `about` more entries of the metadata.
    """
    for module in ("onnx", "onnxscript"):
        import_extra(module, "onnx", "ONNX files need")
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
                "unit": UNITS.get(name, "as its feature makes it"),
            }
            for name in network.inputs
        },
        "heads": head_inputs(network),
        "features": {name: features[name] for name in network.inputs},
    }
    program.model.metadata_props.update({key: json.dumps(value) for key, value in described.items()})
    program.save(path, external_data=False)
    seal_onnx(path)


class _Answers(nn.Module):
    """A network with probabilities as outputs, in the order of its heads."""

    def __init__(self, network: SceneNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        multi_label = self.network.multi_label
        heads = self.network.heads(*inputs).values()
        # In float64, p near 1 keeps the digits of 1 - p, which a temperature brings forth.
        return tuple(probabilities(one.double() if multi_label else one.float(), multi_label) for one in heads)


def noise_inputs(features: Mapping[str, Any], names: tuple[str, ...], seconds: int) -> dict[str, Tensor]:
    """What the features make of some seconds of noise: name of the input -> (second, ...)."""
    rng = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        clip = media_clip(Path(folder, "noise.wav"), Path(folder, "noise.mp4"))
        clip.audio.write_bytes(wav(rng.uniform(-0.5, 0.5, (2, seconds * RATE)).astype(np.float32)))
        clip.video.write_bytes(mp4(rng.integers(256, size=(10 * seconds, 64, 64, 3), dtype=np.uint8), rate=10))
        made = build_features(features, names)
        [decoded] = batches({name: windows(each, each.source(clip)) for name, each in made.items()}, seconds)
        return {name: torch.from_numpy(values) for name, values in network_inputs(made, decoded).items()}


@torch.inference_mode()
def _differences(
    network: SceneNetwork, temperatures: Mapping[str, float], written: OnnxModel, examples: Mapping[str, Tensor]
) -> dict[str, float]:
    """The largest differences in batches of one and of all examples, per head, before and after its temperature."""
    differences = dict.fromkeys(network.head_names, 0.0)
    for size in (1, len(next(iter(examples.values())))):
        inputs = {name: values[:size] for name, values in examples.items()}
        theirs = written.probabilities({name: values.numpy() for name, values in inputs.items()})
        heads = network.heads(**inputs).items()
        ours = {head: probabilities(logits.double(), network.multi_label).numpy() for head, logits in heads}
        for one, other in (
            (ours, theirs),
            tuple(calibrated(each, temperatures, network.multi_label) for each in (ours, theirs)),
        ):
            differences = {
                head: max(known, np.abs(one[head] - other[head]).max()) for head, known in differences.items()
            }
    return differences
