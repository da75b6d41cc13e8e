import os
import platform
import subprocess
import sys

import pytest
import torch
from torch import nn

from sedcrnn.errors import ConfigError
from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.execution import checkpoint_encoders, compile_in_place, convolutional_parts
from sedcrnn.networks.visual import VisualNetwork


def trained_once(network, batch):
    """Loss, gradients and values (BN statistics too) after one step of training mode."""
    torch.manual_seed(0)
    network.train().zero_grad()
    loss = nn.functional.cross_entropy(network(*batch), torch.tensor([0, 1, 2]))
    loss.backward()
    gradients = {name: parameter.grad.clone() for name, parameter in network.named_parameters()}
    return loss.detach(), gradients, {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("backbone", ["vgg11", "vgg11_bn", "test_resnet", "test_convnext"])
def test_checkpointing_changes_neither_gradients_nor_statistics_nor_keys(backbone, one_second):
    def build():
        torch.manual_seed(0)
        return VisualNetwork(scenes=3, backbone=backbone, normalisation="imagenet", hidden=3)

    calls = []
    kept, recomputed = build(), build()
    checkpoint_encoders(recomputed)
    convolutions = [module for module in recomputed.encoder.modules() if isinstance(module, nn.Conv2d)]
    for module in convolutions:
        module.register_forward_hook(lambda module, *_: calls.append(module))
    expected = trained_once(kept, [one_second["frames"]])
    torch.testing.assert_close(trained_once(recomputed, [one_second["frames"]]), expected)
    assert len(convolutions) < len(calls) <= 2 * len(convolutions)  # a stage's last convolution may be spared
    kept.eval(), recomputed.eval()
    with torch.no_grad():
        torch.testing.assert_close(recomputed(one_second["frames"]), kept(one_second["frames"]))


def test_checkpointing_keeps_fewer_values_for_the_backward_pass(one_second):
    def kept_bytes(network):
        sizes = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: sizes.setdefault(tensor.data_ptr(), tensor) is None or tensor, lambda tensor: tensor
        ):
            network.encoder(one_second["frames"])
        return sum(tensor.nbytes for tensor in sizes.values() if not isinstance(tensor, nn.Parameter))

    network = VisualNetwork(scenes=3, backbone="vgg11", normalisation="imagenet", hidden=3)
    before = kept_bytes(network)
    checkpoint_encoders(network)
    assert kept_bytes(network) < before / 2


def test_checkpointing_needs_a_frame_encoder():
    with pytest.raises(ConfigError, match="AudioNetwork, which has no timm encoder"):
        checkpoint_encoders(AudioNetwork(filters=(2,), frame_pooling=(2,)))


def test_checkpointing_needs_stages_that_follow_one_another():
    network = VisualNetwork(scenes=3, backbone="test_resnet", normalisation="imagenet", hidden=3)
    network.encoder.backbone = nn.ModuleDict({"conv": nn.Conv2d(3, 4, 3)})
    with pytest.raises(ConfigError, match="ModuleDict has no sequence of stages"):
        checkpoint_encoders(network)


def test_convolutional_parts_are_those_that_networks_call(small_network):
    parts = convolutional_parts(small_network)
    assert parts == [small_network.audio.blocks, small_network.visual.encoder]


@pytest.mark.slow
def test_compiled_in_place_a_network_has_the_same_keys_gradients_and_statistics(one_second):
    def build():
        torch.manual_seed(0)
        return AudioNetwork(scenes=3, filters=(2,), frame_pooling=(2,))

    for size in range(torch._dynamo.config.recompile_limit + 1):  # as many as torch compiles of one kind of module
        earlier = AudioNetwork(scenes=3, filters=(2,), frame_pooling=(2,), channels=2 + size)
        compile_in_place(earlier, torch.device("cpu"))
        earlier.blocks(torch.zeros(1, 2 + size, 4, 4))
    plain, compiled = build(), build()
    keys = list(plain.state_dict())
    compile_in_place(compiled, torch.device("cpu"))
    expected = trained_once(plain, [one_second["spectrogram"]])
    counted = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    torch.testing.assert_close(trained_once(compiled, [one_second["spectrogram"]]), expected)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > counted  # heads() went through the compiled part
    assert list(compiled.state_dict()) == keys


@pytest.mark.slow
def test_without_a_compiler_the_option_is_an_error(tmp_path):
    lines = [
        "import torch",
        "from sedcrnn.errors import ConfigError",
        "from sedcrnn.networks.audio import AudioNetwork",
        "from sedcrnn.networks.execution import compile_in_place",
        "try:",
        "    compile_in_place(AudioNetwork(filters=(2,), frame_pooling=(2,)), torch.device('cpu'))",
        "except ConfigError as error:",
        "    print('refused:', error)",
    ]
    environment = os.environ | {"CXX": "/nowhere/g++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], env=environment, capture_output=True, text=True, check=False
    )
    assert "refused: recipe.compile=true" in done.stdout, done.stderr
    assert "Install one, or set recipe.compile=false" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_memory_is_used_again_unless_the_user_has_set_up_malloc():
    lines = [
        "import resource, torch",
        "from sedcrnn.networks.execution import keep_freed_memory",
        "keep_freed_memory()",
        "def step(): tensors = [torch.zeros(2**20 * size) for size in (1, 2, 4, 8, 4, 2, 1)]",  # 88 MB in pieces
        "for _ in range(10): step()",
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt",
        "for _ in range(10): step()",
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)",
    ]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", "\n".join(lines)]

    def faults(environment: dict[str, str]) -> int:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=clean | environment)
        return int(done.stdout)

    # A chunk that is freed may be too small for the next tensor's alignment, so a few pages are fetched now and then.
    assert faults({}) < faults({"MALLOC_MMAP_THRESHOLD_": "65536"}) / 10
