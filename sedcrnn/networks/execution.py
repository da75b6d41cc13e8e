"""Where and how a network runs: device, precision and memory; compiled, or recomputed. Its keys never change."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sedcrnn.errors import ConfigError
from sedcrnn.networks import SceneNetwork


def choose_device(name: str) -> str:
    """The device of this name, if torch finds it; `auto`: the GPU where there is one."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for CUDA
        raise ConfigError(
            f"device is '{name}', which torch refuses: {str(error).splitlines()[0]}",
            "It is auto, cpu, or e.g. cuda, cuda:1 or mps where there is one",
            "Set device=cpu, or another",
        ) from error
    return name


def on_gpu(accelerator: str) -> bool:
    """Whether Lightning's name of an accelerator means an NVIDIA GPU here."""
    return accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())


def choose_precision(name: str, accelerator: str) -> str:
    """Lightning's name of the arithmetic; `auto`: bfloat16 where the processor or GPU computes in it natively, float32
    elsewhere."""
    if name != "auto":
        return name
    if on_gpu(accelerator):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        checks = [getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile")]
        native = any(check is not None and check() for check in checks)
    return "bf16-mixed" if native else "32-true"


def keep_freed_memory() -> None:
    """Let this process use the memory of past tensors for its next ones, as it is.

    glibc returns the memory of every large tensor to the system, and a step on a CPU spends a quarter of its time on
    getting it back, page by page; other C libraries are left as they are, and so is one that MALLOC_* or GLIBC_TUNABLES
    set up. torch's deterministic algorithms fill new tensors, which only shows operations that read what nobody wrote.
    """
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    chosen = "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" and not chosen else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _KEPT_BYTES = -1, -3, 2**30
"""glibc's numbers, and sizes above which tensors, and memory freed at the end of the heap, go back to the system."""


def convolutional_parts(network: SceneNetwork) -> list[nn.Module]:
    """The parts that networks call as a whole and that hold convolutions: the audio blocks, the frame encoder."""
    return [
        part
        for each in network.modules()
        if isinstance(each, SceneNetwork)
        for part in each.children()
        if not isinstance(part, SceneNetwork) and any(isinstance(module, nn.Conv2d) for module in part.modules())
    ]


def compile_in_place(network: SceneNetwork, device: torch.device, mode: bool | str = True) -> None:
    """Compile the convolutional parts at their next call, by torch's default or in another mode of torch.compile; GRUs
    and dense layers gain nothing.

    CUDA graphs (`reduce-overhead`) are recorded for every size of a batch, of which there are four at most: training
    and evaluation have two each.

    `torch.compile(network)` would rename the keys of every checkpoint, and what a LightningModule or a `heads()` calls
    is not `forward`, the one method that `network.compile()` compiles.
    """
    try:
        torch.compile(torch.square)(torch.ones(2, device=device))
    except RuntimeError as error:
        raise ConfigError(
            f"recipe.compile=true, and torch.compile fails on this computer: {str(error).strip().splitlines()[0]}",
            "It needs a C++ compiler (g++, or clang++ on macOS, or what CXX names), and Triton on a GPU",
            "Install one, or set recipe.compile=false",
        ) from error
    # What earlier stages of this process compiled counts towards a limit, above which torch no longer compiles.
    torch.compiler.reset()
    chosen = {"mode": mode, "dynamic": False} if isinstance(mode, str) else {}
    for part in convolutional_parts(network):
        part.compile(**chosen)


def checkpoint_encoders(network: SceneNetwork) -> None:
    """Keep only the inputs of the stages of timm encoders, and compute the rest again in the backward pass.

    timm's own option covers only some architectures, and lets batch normalisation see every batch twice.
    """
    from sedcrnn.networks.backbones import TimmEncoder  # here, because timm takes seconds to load

    encoders = [module for module in network.modules() if isinstance(module, TimmEncoder)]
    if not encoders:
        raise ConfigError(
            f"recipe.gradient_checkpointing=true for a {type(network).__name__}, which has no timm encoder",
            "Only encoders of frames, and of spectrograms as images, are large enough for it",
            "Set recipe.gradient_checkpointing=false",
        )
    for encoder in encoders:
        sequences = [part for part in encoder.backbone.children() if isinstance(part, nn.Sequential)]
        if not sequences:
            raise ConfigError(
                f"recipe.gradient_checkpointing=true, but {type(encoder.backbone).__name__} has no sequence of stages",
                "It is cut where stages follow one another, as in VGG, ResNet, ConvNeXt and ViT",
                "Set recipe.gradient_checkpointing=false, or choose another backbone",
            )
        for sequence in sequences:
            _checkpoint_sequence(sequence)


def _checkpoint_sequence(sequence: nn.Sequential) -> None:
    """Each stage of a sequence, or, where it is one of single layers (VGG), each run of layers up to a pool."""
    stages: list[nn.Sequential] = []
    start = 0
    for index, child in enumerate(sequence, start=1):
        if list(child.children()) or isinstance(child, nn.MaxPool2d) or index == len(sequence):
            stages.append(nn.Sequential(*list(sequence)[start:index]))
            start = index

    def run(values: Tensor) -> Tensor:
        for stage in stages:
            if torch.is_grad_enabled():
                contexts = partial(_recomputation_contexts, stage)
                values = checkpoint(stage, values, use_reentrant=False, context_fn=contexts)
            else:
                values = stage(values)
        return values

    sequence.forward = run  # type: ignore[method-assign]  # a wrapper around the module would rename its keys


def _recomputation_contexts(stage: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _kept_statistics(stage)


@contextmanager
def _kept_statistics(stage: nn.Module) -> Iterator[None]:
    """Batch normalisation, which has taken the batch in already, leaves its running statistics as they are."""
    norms = [module for module in stage.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
