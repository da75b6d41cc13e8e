"""Training speed of every stage on a CPU beside its floor, and where the time goes: samples/s, ratios and shares in one
run. For a GPU there is `gpu_check`.

python -m sedcrnn.benchmarks.training_benchmark     (make bench-train; `... fusion` measures only stages that begin so)

The floor of a stage is what it would reach if its counted FLOPs ran at the matrix peak, which is measured between its
steps. Variants of a stage take their steps in turn, so that whatever else the computer does slows all of them alike.
Stages whose epoch is short run under Lightning, too, as `train` runs them. Where TensorFlow is installed, in the Python
that KERAS_PYTHON names or in this one, the audio stage takes turns with the authors' network in Keras, too.
"""

import copy
import itertools
import logging
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sedcrnn.config import checked
from sedcrnn.config.composition import compose
from sedcrnn.config.targets import resolve
from sedcrnn.datasets.datamodule import SceneDataModule
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.execution import choose_precision, compile_in_place, keep_freed_memory
from sedcrnn.networks.freezing import parameter_groups
from sedcrnn.training.frozen_cache import FrozenEncoder
from sedcrnn.training.init_from import complete_network
from sedcrnn.training.modules import SceneModule
from sedcrnn.training.stage import make_datamodule, with_used_features

CPU = torch.device("cpu")
PRECISIONS = {"fp32": torch.float32}
if choose_precision("auto", "cpu") == "bf16-mixed":  # elsewhere it would be emulated
    PRECISIONS["bf16"] = torch.bfloat16
_UNCACHED, _UNFROZEN = ["recipe.cache_frozen=false"], ["recipe.cache_frozen=false", "recipe.frozen=[]"]
_LARGE = ["features.frames.height=224", "features.frames.width=224"]

# Name -> experiment, windows in a step, and overrides. What surrounds a network shows where the network is small, or
# where its frozen parts have been computed before.
STAGES: dict[str, tuple[str, int, list[str]]] = {
    "audio": ("audio", 32, []),
    "audio, 2 filters per block": ("audio", 8, ["model.network.filters=[2,2,2]"]),
    "visual, frozen, 64x64": ("visual", 8, _UNCACHED),
    "visual, unfrozen, 64x64": ("visual", 8, _UNFROZEN),
    "visual, frozen, 224x224": ("visual", 1, [*_UNCACHED, *_LARGE]),
    "visual, unfrozen, 224x224": ("visual", 1, [*_UNFROZEN, *_LARGE]),
    "visual, cached": ("visual", 16, []),
    "fusion, frozen, 64x64": ("fusion", 8, _UNCACHED),
    "fusion, unfrozen, 64x64": ("fusion", 8, _UNFROZEN),
    "fusion, cached": ("fusion", 16, []),
}


def rendered_stage(name: str, folder: Path) -> tuple[SceneModule, SceneDataModule]:
    """A stage with new weights on the smallest set of rendered clips; where the recipe caches what frozen parts make,
    it has been computed."""
    experiment, windows, overrides = STAGES[name]
    fixed = ["data=synthetic_tiny", f"data.root={folder}/data", f"store={folder}/store", "features=small"]
    fixed += ["recipe.mixup_alpha=0", "recipe.scheduler=null", f"recipe.batch_size={windows}"]
    fixed += ["model=fusion_new"] if experiment == "fusion" else []
    config = with_used_features(checked(compose("train", [f"experiment={experiment}", *fixed, *overrides])))
    datamodule = make_datamodule(config)
    datamodule.prepare_data()
    datamodule.setup()
    network = complete_network(config.model["network"], {}, datamodule.dimensions)
    kind = resolve(config.model["_target_"], "module")
    module = kind(network, asdict(config.recipe), list(datamodule.manifest.scenes), {}, {}, [], seed=0)
    if config.recipe.cache_frozen:
        datamodule = datamodule.encoded_by(FrozenEncoder(module.network, network, datamodule.features))
        datamodule.setup()
    return module.train(), datamodule


class _Steps(Protocol):
    """What takes its turn in a stage."""

    precision: str

    def step(self, batch: dict[str, Tensor]) -> list[float]:
        """Train on a batch; the seconds of its parts."""


class _Loop:
    """A bare PyTorch loop over one network, as lean as it can be written."""

    def __init__(self, network: SceneNetwork, precision: str) -> None:
        self.network, self.precision = network, precision
        self.optimizer = torch.optim.Adam(parameter_groups(network, {}), eps=1e-7, fused=True)

    def step(self, batch: dict[str, Tensor]) -> list[float]:
        """Train on a batch; seconds of the forward and the backward pass and the optimiser."""
        self.optimizer.zero_grad()
        times = [perf_counter()]
        with torch.autocast("cpu", torch.bfloat16) if self.precision == "bf16" else nullcontext():
            logits = self.network.heads_of(batch)[self.network.head_names[-1]]
        loss = F.cross_entropy(logits.float(), batch["scene"])
        times.append(perf_counter())
        loss.backward()  # type: ignore[no-untyped-call]
        times.append(perf_counter())
        self.optimizer.step()
        times.append(perf_counter())
        return [after - before for before, after in itertools.pairwise(times)]


class _KerasLoop:
    """`keras_audio` in a process of its own, which sleeps between its turns."""

    def __init__(self, process: subprocess.Popen[str], precision: str) -> None:
        self.process, self.precision = process, precision

    def step(self, batch: dict[str, Tensor]) -> list[float]:
        """Let Keras train on a batch of its own; the seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(self.precision, file=self.process.stdin, flush=True)
        return [float(self.process.stdout.readline())]


def keras_loops(windows: int) -> dict[str, _KerasLoop]:
    """The authors' audio network in the precisions of this computer; none, with a sentence, without TensorFlow."""
    python = os.environ.get("KERAS_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import keras, tensorflow"], capture_output=True, check=False).returncode:
        print(f"audio: {python} has no TensorFlow to compare with; make bench-train keras=1 installs it")
        return {}
    command = [python, str(Path(__file__).with_name("keras_audio.py")), str(windows)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
    return {f"{precision}, the authors' in Keras": _KerasLoop(process, precision) for precision in PRECISIONS}


def variants(module: SceneModule, compiled: bool) -> Iterator[tuple[str, _Loop]]:
    """The ways to run a stage that this computer allows."""
    for precision in PRECISIONS:
        yield precision, _Loop(copy.deepcopy(module.network), precision)
        network = copy.deepcopy(module.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        yield f"{precision}, weights channels_last", _Loop(network, precision)
        if compiled:
            network = copy.deepcopy(module.network)
            compile_in_place(network, CPU)
            yield f"{precision}, compiled", _Loop(network, precision)


def matrix_speed(dtype: torch.dtype) -> float:
    """Operations per second of a product of two square matrices: the most that a network could reach."""
    size = 1024
    one, other = torch.rand(2, size, size, dtype=dtype)
    torch.mm(one, other)
    started = perf_counter()
    torch.mm(one, other)
    return 2 * size**3 / (perf_counter() - started)


def bare_loops(name: str, module: SceneModule, datamodule: SceneDataModule) -> float:
    """Print a stage's rows; returns the samples/s of its float32 step."""
    loaded = datamodule.on_after_batch_transfer(next(iter(datamodule.train_dataloader())), 0)
    windows = datamodule.batch_size
    again = torch.arange(windows) % len(loaded["scene"])  # there may be fewer clips than the batch has windows
    batch = {key: values[again] for key, values in loaded.items()}
    loops: dict[str, _Steps] = dict(variants(module, compiled=name == "audio"))
    keras = keras_loops(windows) if name == "audio" else {}
    loops |= keras
    with FlopCounterMode(display=False) as counter:
        loops["fp32"].step(batch)
    for variant, loop in loops.items():
        print(f"{name}: {variant}", file=sys.stderr, flush=True)
        first = sum(loop.step(batch))
    taken: dict[str, list[list[float]]] = {variant: [] for variant in loops}
    peaks = dict.fromkeys(PRECISIONS, 0.0)
    for _ in range(max(3, min(30, round(5 / first)))):
        for precision, dtype in 3 * list(PRECISIONS.items()):
            peaks[precision] = max(peaks[precision], matrix_speed(dtype))
        for variant, loop in loops.items():
            taken[variant].append(loop.step(batch))
    best = {variant: min(steps, key=sum) for variant, steps in taken.items()}
    for variant, parts in best.items():
        seconds, floor = sum(parts), counter.get_total_flops() / peaks[loops[variant].precision]
        print(
            f"{f'{name}: {variant}':54}{windows:6}{windows / seconds:9.1f}{sum(best['fp32']) / seconds:8.2f}"
            f"{windows / floor:9.1f}{floor / seconds:9.0%}"
            + "".join(f"{part / seconds:10.0%}" for part in parts if part < seconds),
            flush=True,
        )
    for loop in keras.values():
        loop.process.communicate()
    if keras:
        fastest, theirs = (min(sum(best[one]) for one in group) for group in (loops.keys() - keras, list(keras)[:1]))
        print(f"{name}: the fastest of ours is {theirs / fastest:.2f} times as fast as Keras in fp32")
    return windows / sum(best["fp32"])


class _StepClock(Callback):
    """The seconds from one training batch to the next within an epoch."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.started = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        before, self.started = self.started, perf_counter()
        if batch_idx:
            self.steps.append(self.started - before)


def under_lightning(module: SceneModule, datamodule: SceneDataModule) -> float:
    """Seconds of a step under a Trainer as a stage has it, without bar and logger."""
    clock = _StepClock()
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=3,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    trainer.fit(module, datamodule=datamodule)
    return statistics.median(clock.steps)


def main() -> None:
    """Print the table."""
    begin = "".join(sys.argv[1:2])
    keep_freed_memory()  # as training does
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    device = f"CPU, {torch.get_num_threads()} threads"
    print(f"{device}, torch {torch.__version__}{'' if 'bf16' in PRECISIONS else ', no native bf16'}")
    print(
        f"{'samples/s of a bare loop':54}{'batch':>6}{'speed':>9}{'x fp32':>8}{'floor':>9}{'of floor':>9}"
        f"{'forward':>10}{'backward':>10}{'optimiser':>10}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in [name for name in STAGES if name.startswith(begin)]:
            module, datamodule = rendered_stage(name, Path(folder))
            speed = bare_loops(name, module, datamodule)
            clips, batches = len(datamodule.folds.train), len(datamodule.train_dataloader())
            if clips / speed < 10:
                period = under_lightning(module, datamodule)
                reached = clips / batches / period
                print(
                    f"{f'{name}: with loader, under Lightning':60}{reached:9.1f}{reached / speed:8.2f}"
                    f"{period * 1e3:9.2f} ms a step of {clips / batches:.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
