"""Training steps of every stage on random inputs: a bare loop in every arithmetic, its parts, its settings, as a graph,
compiled, and under Lightning. Each function yields rows of a table; `gpu_check` runs them."""

import copy
import resource
import statistics
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import cache
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from sedcrnn.benchmarks.gpu_stages import Stage, make_stage
from sedcrnn.benchmarks.gpu_timing import DEVICE, GPU, Row, arithmetic, matrix_speed, now, seconds_of
from sedcrnn.config.targets import build
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.execution import choose_precision, compile_in_place
from sedcrnn.networks.freezing import parameter_groups


class Step:
    """One training step, as lean as it can be written."""

    def __init__(self, network: SceneNetwork, batch: dict[str, Tensor], bf16: bool, in_graph: bool = False) -> None:
        self.network, self.batch, self.bf16 = network, batch, bf16
        self.optimizer = torch.optim.Adam(parameter_groups(network, {}), eps=1e-7, fused=True, capturable=in_graph)

    def loss(self) -> Tensor:
        """Of the network's answer."""
        with torch.autocast(DEVICE.type, torch.bfloat16) if self.bf16 else nullcontext():
            logits = self.network.heads_of(self.batch)[self.network.head_names[-1]]
        return F.cross_entropy(logits.float(), self.batch["scene"])

    def __call__(self) -> None:
        """Train on the batch."""
        self.optimizer.zero_grad()
        self.loss().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def parts(self) -> tuple[float, ...]:
        """Seconds of the forward pass, of the backward pass and of the optimiser."""
        self.optimizer.zero_grad()
        times = [now()]
        loss = self.loss()
        times.append(now())
        loss.backward()  # type: ignore[no-untyped-call]
        times.append(now())
        self.optimizer.step()
        times.append(now())
        return tuple(after - before for before, after in pairwise(times))


@cache
def _bf16_peak(tiny: bool) -> float:
    return matrix_speed(torch.bfloat16, 256 if tiny else 8192)


def _peak_gigabytes() -> float:
    used = torch.cuda.max_memory_allocated() if GPU else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return used / 1e9


def _speed(name: str, windows: int, way: str, step: Step, flops: int, tiny: bool) -> Row:
    """A row of the table of steps."""
    if GPU:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    started = now()
    step()
    first = now() - started
    seconds = seconds_of(step, tiny)
    gigabytes = _peak_gigabytes()  # before the product that the peak is measured with
    return {
        "stage": name,
        "windows": windows,
        "arithmetic": way,
        "windows/s": windows / seconds,
        "ms a step": 1e3 * seconds,
        "% of bf16 peak": 100 * flops / seconds / _bf16_peak(tiny),
        "peak GB": gigabytes,
        "s of the first step": first,
    }


def copied(network: SceneNetwork) -> SceneNetwork:
    """The same network once more, with the weights of GRUs in one piece, as cuDNN wants them."""
    other = copy.deepcopy(network)
    for part in other.modules():
        if isinstance(part, nn.RNNBase):
            part.flatten_parameters()
    return other


def _flops(stage: Stage) -> int:
    """Of a training step; those of GRUs are not counted."""
    step = Step(copied(stage.module.network), stage.batch, bf16=False)
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def bare_steps(tiny: bool, name: str, windows: int) -> Iterator[Row]:
    """Training speed in every arithmetic, with the share of the measured bf16 peak."""
    stage = make_stage(name, windows, tiny)
    flops = _flops(stage)
    for way, tf32, channels_last in (
        ("bf16", False, False),
        ("bf16, weights channels_last", False, True),
        ("TF32", True, False),
        ("fp32", False, False),
    ):
        network = copied(stage.module.network)
        if channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with arithmetic(tf32):
            step = Step(network, stage.batch, bf16=way.startswith("bf16"))
            yield _speed(name, stage.windows, way, step, flops, tiny)


def compiled_steps(tiny: bool, name: str, windows: int, mode: bool | str) -> Iterator[Row]:
    """The same, compiled as `recipe.compile` says; and how long that takes."""
    stage = make_stage(name, windows, tiny)
    flops = _flops(stage)
    network = stage.module.network
    compile_in_place(network, DEVICE, mode)
    step = Step(network, stage.batch, bf16=True)
    started = now()
    step()
    seconds = now() - started
    way = f"bf16, compiled{f' ({mode})' if isinstance(mode, str) else ''}"
    yield {**_speed(name, stage.windows, way, step, flops, tiny), "s of the first step": seconds}


def step_parts(tiny: bool, name: str, windows: int) -> Iterator[Row]:
    """Where the time of a bf16 step goes."""
    stage = make_stage(name, windows, tiny)
    step = Step(stage.module.network, stage.batch, bf16=True)
    for _ in range(3):
        step()
    rounds = [step.parts() for _ in range(2 if tiny else 15)]
    forward, backward, optimiser = (1e3 * statistics.median(part) for part in zip(*rounds, strict=True))
    yield {
        "stage": name,
        "windows": stage.windows,
        "forward ms": forward,
        "backward ms": backward,
        "optimiser ms": optimiser,
    }


# Name -> deterministic algorithms, filled memory, cudnn.benchmark. The second is what trainer=gpu has.
SETTINGS = {
    "torch's own": (False, False, False),
    "deterministic, memory filled (trainer=gpu)": (True, True, False),
    "deterministic, memory not filled": (True, False, False),
    "cudnn.benchmark": (False, False, True),
}


def settings(tiny: bool, name: str, windows: int) -> Iterator[Row]:
    """What determinism costs a bf16 step, and what cudnn.benchmark gains."""
    stage = make_stage(name, windows, tiny)
    step = Step(stage.module.network, stage.batch, bf16=True)
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    try:
        for setting, (deterministic, fill, benchmark) in SETTINGS.items():
            torch.use_deterministic_algorithms(deterministic, warn_only=True)
            memory.fill_uninitialized_memory = fill
            torch.backends.cudnn.benchmark = benchmark
            with warnings.catch_warnings(action="ignore"):  # max pooling has no deterministic gradient
                seconds = seconds_of(step, tiny)
            yield {"stage": name, "windows": stage.windows, "setting": setting, "ms a step": 1e3 * seconds}
    finally:
        torch.use_deterministic_algorithms(False)
        memory.fill_uninitialized_memory = filled
        torch.backends.cudnn.benchmark = False


def graph_replay(tiny: bool, name: str, windows: int) -> Iterator[Row]:
    """A whole step as a CUDA graph, which costs no launches: the most that fewer launches could gain."""
    stage = make_stage(name, windows, tiny)
    step = Step(stage.module.network, stage.batch, bf16=True, in_graph=GPU)
    about: Row = {"stage": name, "windows": stage.windows}
    yield {**about, "way": "launch by launch", "ms a step": 1e3 * seconds_of(step, tiny)}
    if GPU:
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        yield {**about, "way": "CUDA graph", "ms a step": 1e3 * seconds_of(graph.replay, tiny)}


class EpochClock(Callback):
    """Seconds of a step within each epoch, after its first ones; and when the first step began and the last ended."""

    def __init__(self, skipped: int, steps: int) -> None:
        self.first, self.last, self.started = skipped, steps - 1, 0.0
        self.seconds: list[float] = []
        self.begun = self.ended = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Begin after the first steps."""
        self.begun = self.begun or now()
        if batch_idx == self.first:
            self.started = now()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End with the last."""
        if batch_idx == self.last:
            self.ended = now()
            self.seconds.append((self.ended - self.started) / (self.last - self.first + 1))


def under_lightning(tiny: bool, name: str, batch_sizes: Sequence[int]) -> Iterator[Row]:
    """A step as `train` runs it, in bf16 with batches that are loaded already, beside the bare loop."""
    for windows in batch_sizes:
        stage = make_stage(name, windows, tiny)
        bare = seconds_of(Step(copied(stage.module.network), stage.batch, bf16=True), tiny)
        loaded = {key: values.cpu().pin_memory() if GPU else values.cpu() for key, values in stage.batch.items()}
        skipped, steps = (1, 3) if tiny else (10, 60)
        batches: Any = [loaded] * steps
        clock = EpochClock(skipped, steps)
        node = {**stage.trainer, "precision": choose_precision("auto", stage.trainer["accelerator"])}
        node |= {"max_epochs": 1 if tiny else 2, "limit_val_batches": 0, "enable_progress_bar": False}
        trainer = build(node, "trainer", callbacks=[clock], logger=False, enable_checkpointing=False)
        with warnings.catch_warnings(action="ignore"):
            trainer.fit(stage.module, DataLoader(batches, batch_size=None))
        torch.use_deterministic_algorithms(False)  # Lightning leaves it on
        lightning = statistics.median(clock.seconds)
        yield {
            "stage": name,
            "windows": stage.windows,
            "steps/s": 1 / lightning,
            "ms a step": 1e3 * lightning,
            "ms of the bare loop": 1e3 * bare,
            "x bare loop": lightning / bare,
        }
