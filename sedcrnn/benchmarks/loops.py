"""Stages of the recipe as bare PyTorch loops on noise of the right shapes, timed part by part on CPU or GPU."""

import itertools
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.freezing import freeze, frozen_modules, parameter_groups
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.visual import VisualNetwork

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Batch = dict[str, Tensor]
Parts = dict[str, float]  # seconds of forward, backward and optimiser


@dataclass(frozen=True)
class Stage:
    """One stage of the paper's recipe, or of the demo's where the side is 64.

    Attributes:
        network: class of the network.
        frozen: its parts that are not trained.
        side: height and width of the frames, in pixels.
        batch: windows in a step, on a CPU; a GPU takes `gpu_batch`.
        steps: measured steps of each variant.
    """

    name: str
    network: Callable[[], SceneNetwork]
    frozen: tuple[str, ...] = ()
    side: int = 64
    batch: int = 8
    gpu_batch: int = 32
    steps: int = 3

    def build(self) -> SceneNetwork:
        """The network in training mode on the device, its frozen parts frozen."""
        network = self.network().to(DEVICE).train()
        for part in frozen_modules(network, self.frozen):
            freeze(part)
        return network

    def draw(self) -> Batch:
        """A batch of noise of the right shapes."""
        windows = self.gpu_batch if DEVICE.type == "cuda" else self.batch
        return {
            "spectrogram": 2 * torch.rand(windows, 3, 64, 50, device=DEVICE) - 1,
            "frames": torch.randint(0, 256, (windows, 5, 3, self.side, self.side), dtype=torch.uint8, device=DEVICE),
            "scene": torch.randint(0, 10, (windows,), device=DEVICE),
        }


def _fusion() -> SceneNetwork:
    return FusionNetwork(AudioNetwork(), VisualNetwork())


STAGES = (
    Stage("audio", AudioNetwork, batch=32, gpu_batch=256, steps=5),
    Stage("visual, frozen, 64x64", VisualNetwork, ("encoder",)),
    Stage("visual, unfrozen, 64x64", VisualNetwork),
    Stage("visual, frozen, 224x224", VisualNetwork, ("encoder",), side=224, batch=1),
    Stage("visual, unfrozen, 224x224", VisualNetwork, side=224, batch=1, steps=2),
    Stage("fusion, frozen, 64x64", _fusion, ("audio", "visual")),
    Stage("fusion, unfrozen, 64x64", _fusion),
)


class Loop:
    """A bare PyTorch loop over one network, as lean as it can be written.

    Args:
        network: in training mode, on the device.
        bf16: whether it runs in bfloat16 where autocast says so.
    """

    def __init__(self, network: SceneNetwork, bf16: bool = False) -> None:
        self.network, self.bf16 = network, bf16
        self.optimizer = torch.optim.Adam(parameter_groups(network, {}), eps=1e-7, fused=True)

    def step(self, batch: Batch) -> Parts:
        """Train on a batch; the seconds that each part of the step took."""
        self.optimizer.zero_grad()
        times = [now()]
        with torch.autocast(DEVICE.type, torch.bfloat16) if self.bf16 else nullcontext():
            logits = self.network.heads_of(batch)[self.network.head_names[-1]]
        loss = F.cross_entropy(logits.float(), batch["scene"])
        times.append(now())
        loss.backward()  # type: ignore[no-untyped-call]
        times.append(now())
        self.optimizer.step()
        times.append(now())
        seconds = [after - before for before, after in itertools.pairwise(times)]
        return dict(zip(("forward", "backward", "optimiser"), seconds, strict=True))


def now() -> float:
    """Seconds of a clock, when the device has done its work."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def matrix_seconds(size: int, dtype: torch.dtype) -> float:
    """Seconds of a product of two square matrices: 2 * size ** 3 operations at the peak."""
    one, other = (torch.rand(size, size, device=DEVICE, dtype=dtype) for _ in range(2))
    torch.mm(one, other)
    started = now()
    torch.mm(one, other)
    return now() - started


def count_operations(stage: Stage) -> int:
    """FLOPs of a training step, two for a multiplication and an addition."""
    loop, batch = Loop(stage.build()), stage.draw()
    with FlopCounterMode(display=False) as counter:
        loop.step(batch)
    operations: int = counter.get_total_flops()
    return operations
