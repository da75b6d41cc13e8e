"""Write a trained network as an ONNX file, and check that it answers as torch does.

python -m sedcrnn.export run=<run folder or checkpoint> output=<file.onnx>
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sedcrnn.config.targets import build
from sedcrnn.datasets.windows import STEPS_PER_WINDOW
from sedcrnn.errors import ConfigError, SedcrnnError, nearest
from sedcrnn.inference.onnx_file import SUFFIX, OnnxModel, write_onnx
from sedcrnn.inference.scene_models import subnetworks
from sedcrnn.networks import SceneNetwork
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.runs.files import atomic

LARGEST_DIFFERENCE = 1e-4
"""Of a probability in torch and in ONNX Runtime, which add in different orders: some 1e-7 are usual."""


def export(run: str, output: str, part: str | None = None) -> dict[str, float]:
    """Write the network of a run as an ONNX file, which then answers without the run.

    The file is there only once it has been found to answer as torch does, on random inputs in batches of two sizes.

    Args:
        run: run folder or checkpoint file.
        output: the file, whose suffix is .onnx.
        part: `audio` or `visual`: that subnetwork of a fusion network alone; None: the whole network.

    Returns:
        The largest difference between a probability of torch and of ONNX Runtime, per head.

    Raises:
        CheckpointError: the run is missing or unreadable.
        ConfigError: another suffix, or a part that the network does not have.
        MissingExtraError: ONNX is not installed.
        SedcrnnError: the answers differ by more than 1e-4.
    """
    path = Path(output)
    if path.suffix.lower() != SUFFIX:
        raise ConfigError(f"output={output}", f"ONNX files are told by the suffix {SUFFIX}", "Add it to the name")
    checkpoint = load_checkpoint(run)
    network = checkpoint.build()
    if part is not None:
        network = _part(network, part)
    examples = random_inputs(network, checkpoint.features, examples=2)
    about = {"kind": part or checkpoint.stage, "checkpoint": checkpoint.digest}
    with atomic(path) as temporary:
        write_onnx(network, examples, temporary, checkpoint.scenes, checkpoint.features, **about)
        written = OnnxModel(temporary)
        differences = [
            _differences(network, written, random_inputs(network, checkpoint.features, examples)) for examples in (1, 3)
        ]
        largest = {head: max(one[head] for one in differences) for head in network.head_names}
        if not max(largest.values()) <= LARGEST_DIFFERENCE:
            raise SedcrnnError(
                f"ONNX Runtime and torch differ by {max(largest.values()):.1e} in a probability",
                f"They differ by {LARGEST_DIFFERENCE:g} at most",
                f"Nothing was written to {path}; try other versions of torch and onnxruntime",
            )
    return largest


def random_inputs(network: SceneNetwork, features: Mapping[str, Any], examples: int) -> dict[str, Tensor]:
    """Noise of the shape, type and range of a network's inputs; as many examples of each."""
    inputs: dict[str, Tensor] = {}
    for name in network.inputs:
        feature = build(features[name], "feature", trusted=False)
        if name == "spectrogram":
            channels, bands = len(feature.layout.names), feature.bank.bands
            inputs[name] = 2 * torch.rand(examples, channels, bands, STEPS_PER_WINDOW * feature.per_step) - 1
        else:
            shape = (examples, STEPS_PER_WINDOW * feature.per_step, 3, feature.height, feature.width)
            inputs[name] = torch.randint(256, shape, dtype=torch.uint8)
    return inputs


@torch.inference_mode()
def _differences(network: SceneNetwork, written: OnnxModel, inputs: Mapping[str, Tensor]) -> dict[str, float]:
    answers = written.probabilities({name: values.numpy() for name, values in inputs.items()})
    expected = {head: logits.double().softmax(-1) for head, logits in network.heads(**inputs).items()}
    return {head: (values - torch.from_numpy(answers[head])).abs().max().item() for head, values in expected.items()}


def _part(network: SceneNetwork, part: str) -> SceneNetwork:
    parts = subnetworks(network)
    if part not in parts:
        raise ConfigError(
            f"part={part}",
            f"The network has the parts {', '.join(parts)}; the nearest is {nearest(part, parts)}"
            if parts
            else f"The network is a {type(network).__name__} and has no parts",
            "Correct it, or leave it out for the whole network",
        )
    return parts[part]
