"""Answers and gradients of each network on the device, beside those of exact arithmetic: float64 on the CPU."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.audio_encoder import AudioEncoderNetwork
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.visual import VisualNetwork

pytestmark = pytest.mark.gpu


LITE = "tf_efficientnet_lite0.in1k"


def build(kind: str) -> SceneNetwork:
    """With new weights, of the paper's sizes but for frames of 32x32; no dropout."""
    torch.manual_seed(0)
    sizes = {"normalisation": "imagenet", "height": 32, "width": 32, "dropout": 0.0}
    if kind == "audio":
        return AudioNetwork()
    if kind == "audio_lite":
        return AudioEncoderNetwork(backbone=LITE, image_height=64, dropout=0.0)
    if kind == "visual":
        return VisualNetwork(backbone="vgg16", **sizes)
    if kind == "visual_lite":
        return VisualNetwork(backbone=LITE, frame_pooling="model", **sizes)
    # Learned late fusion takes float32 alone.
    return FusionNetwork(AudioNetwork(), VisualNetwork(backbone="test_resnet", **sizes), late="average")


def batch_for(network: SceneNetwork) -> dict[str, Tensor]:
    torch.manual_seed(1)
    inputs = {
        "spectrogram": torch.rand(4, 3, 64, 50) * 2 - 1,
        "frames": torch.randint(256, (4, 5, 3, 32, 32)).float(),
    }
    return {name: inputs[name] for name in network.inputs}


def answers(network: SceneNetwork, device: torch.device, dtype: torch.dtype, autocast: bool = False) -> Tensor:
    """Logits of all heads (head, batch, scene) in evaluation mode, less their mean over scenes."""
    network = copy.deepcopy(network).to(device, dtype).eval()
    inputs = {name: values.to(device, dtype) for name, values in batch_for(network).items()}
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        heads = network.heads(**inputs)
    logits = torch.stack([logits.double().cpu() for logits in heads.values()])
    return logits - logits.mean(-1, keepdim=True)


def gradients(network: SceneNetwork, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Of one step of training mode with a loss on every head, as one vector."""
    network = copy.deepcopy(network).to(device, dtype).train()
    inputs = {name: values.to(device, dtype) for name, values in batch_for(network).items()}
    scene = torch.arange(4, device=device)
    sum(cross_entropy(logits, scene) for logits in network.heads(**inputs).values()).backward()
    found = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None for gradient in found)
    return torch.cat([gradient.flatten().double().cpu() for gradient in found])


def error(found: Tensor, exact: Tensor) -> float:
    assert torch.isfinite(found).all()
    return (torch.linalg.vector_norm(found - exact) / torch.linalg.vector_norm(exact)).item()


CPU = torch.device("cpu")


Record = Callable[[str, object], None]


@pytest.mark.parametrize("kind", ["audio", "audio_lite", "visual", "visual_lite", "fusion"])
def test_answers_and_gradients_are_those_of_exact_arithmetic(
    kind: str, device: torch.device, record_property: Record
) -> None:
    network = build(kind)
    exact, slope = answers(network, CPU, torch.float64), gradients(network, CPU, torch.float64)
    assert exact.std() > 1e-3
    found = {
        "float32": error(answers(network, device, torch.float32), exact),
        "bfloat16": error(answers(network, device, torch.float32, autocast=True), exact),
        "gradients in float32": error(gradients(network, device, torch.float32), slope),
    }
    for name, value in found.items():
        record_property(f"relative error, {name}", value)
    assert 0 < found["float32"] < 1e-4
    wider = 20 if kind.endswith("lite") else 1  # forty layers with their normalisation, and two kinks in each ReLU6
    assert 1e-4 < found["bfloat16"] < (6e-2 if wider > 1 else 3e-2)
    assert 0 < found["gradients in float32"] < wider * 1e-3


@pytest.mark.parametrize("kind", ["audio", "visual"])
def test_tf32_is_nearer_than_bfloat16(kind: str, device: torch.device, record_property: Record) -> None:
    """What a float32 trainer has on a GPU by default: TF32 in convolutions."""
    if device.type != "cuda":
        pytest.skip("a CPU has no TF32")
    network = build(kind)
    exact = answers(network, CPU, torch.float64)
    torch.backends.cudnn.allow_tf32 = True
    found = error(answers(network, device, torch.float32), exact)
    record_property("relative error, TF32", found)
    assert 0 < found < 5e-3
