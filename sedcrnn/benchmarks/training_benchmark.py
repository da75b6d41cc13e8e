"""Training speed of every stage beside its floor, and where the time goes: samples/s, ratios and shares in one run.

python -m sedcrnn.benchmarks.training_benchmark     (make bench-train; `--help` lists what else can be measured)

The floor of a stage is what it would reach if its counted FLOPs ran at the matrix peak, which is measured between its
steps. Variants of a stage take their steps in turn, so that whatever else the computer does slows all of them alike.
"""

import argparse
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hydra
import torch
from pytorch_lightning import Callback, Trainer

from sedcrnn.benchmarks.cache_benchmark import bare_loop_table
from sedcrnn.benchmarks.loops import DEVICE, STAGES, Loop, Parts, Stage, count_operations, matrix_seconds, now
from sedcrnn.config import CONF
from sedcrnn.datasets.datamodule import SceneDataModule
from sedcrnn.networks.execution import compile_in_place
from sedcrnn.training.modules import SceneModule
from sedcrnn.training.pipeline_stages import compose_stage
from sedcrnn.training.stage import make_datamodule, with_used_features


def variants(stage: Stage, bf16: bool, compiled: str) -> Iterator[tuple[str, Loop]]:
    """The ways to run a stage that this computer and the command line allow."""
    for precision in ("fp32", "bf16") if bf16 else ("fp32",):
        yield precision, Loop(stage.build(), precision == "bf16")
        network = stage.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        yield f"{precision}, weights channels_last", Loop(network, precision == "bf16")
        if compiled == "all" or (compiled == "audio" and stage.name == "audio"):
            network = stage.build()
            compile_in_place(network, DEVICE)
            yield f"{precision}, compiled", Loop(network, precision == "bf16")


def stage_table(stages: Sequence[Stage], bf16: bool, compiled: str) -> None:
    """Samples/s of every variant of every stage, the floor's, their ratio, and the shares of a step's parts."""
    print(
        f"{'samples/s of a bare loop':54}{'batch':>6}{'speed':>9}{'x fp32':>8}{'floor':>9}{'of floor':>9}"
        f"{'forward':>9}{'backward':>9}{'optimiser':>10}" + (f"{'GiB':>7}" if DEVICE.type == "cuda" else "")
    )
    for stage in stages:
        _progress(f"{stage.name}: first steps")
        batch, operations = stage.draw(), count_operations(stage)
        loops = dict(variants(stage, bf16, compiled))
        memory: dict[str, float] = {}
        for name, loop in loops.items():
            _progress(f"  {name}")
            if DEVICE.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            loop.step(batch)
            memory[name] = torch.cuda.max_memory_allocated() / 2**30 if DEVICE.type == "cuda" else 0.0
        dtypes = {"fp32": torch.float32} | ({"bf16": torch.bfloat16} if bf16 else {})
        size = 8192 if DEVICE.type == "cuda" else 1024
        taken: dict[str, list[Parts]] = {name: [] for name in loops}
        products: dict[str, list[float]] = {name: [] for name in dtypes}
        for _ in range(stage.steps):
            for name, dtype in dtypes.items():
                products[name] += [matrix_seconds(size, dtype) for _ in range(3)]
            for name, loop in loops.items():
                taken[name].append(loop.step(batch))
        windows = len(batch["scene"])
        base = min(sum(parts.values()) for parts in taken["fp32"])
        for name, steps in taken.items():
            best = min(steps, key=lambda parts: sum(parts.values()))
            seconds = sum(best.values())
            floor = operations * min(products[name.partition(",")[0]]) / (2 * size**3)
            print(
                f"{stage.name + ': ' + name:54}{windows:6}{windows / seconds:9.1f}{base / seconds:8.2f}"
                f"{windows / floor:9.1f}{floor / seconds:9.0%}"
                f"{best['forward'] / seconds:9.0%}{best['backward'] / seconds:9.0%}{best['optimiser'] / seconds:10.0%}"
                + (f"{memory[name]:7.1f}" if DEVICE.type == "cuda" else ""),
                flush=True,
            )


class Periods(Callback):
    """The seconds from one training batch to the next, within an epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._started: float | None = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Epochs begin with work that is not a step's."""
        self._started = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Note the time since the last batch began."""
        started = now()
        if self._started is not None:
            self.seconds.append(started - self._started)
        self._started = started


def step_table() -> None:
    """Where a training step's time goes, from stored features to the optimiser, under Lightning as in `train`."""
    print(
        f"\n{'a step, synthetic clips':40}{'batch':>6}{'ms':>9}{'loader':>8}{'forward':>9}{'backward':>9}"
        f"{'optimiser':>10}{'Lightning':>10}{'Lightning, ms':>15}"
    )
    tiny = ["model.network.filters=[2,2,2]"]  # so that what surrounds the network shows
    with tempfile.TemporaryDirectory() as folder, hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        common = [
            "data=synthetic_tiny",
            f"data.root={folder}/data",
            f"store={folder}/store",
            "recipe.batch_size=8",
        ]
        for name, overrides in (("audio", []), ("audio with 2 filters per block", tiny)):
            _progress(f"a step under Lightning: {name}")
            config = with_used_features(compose_stage("demo_audio", [*common, *overrides, "recipe.mixup_alpha=0"]))
            datamodule = make_datamodule(config)
            datamodule.prepare_data()
            recipe = config.recipe
            network = {**config.model["network"], **datamodule.dimensions}
            module = SceneModule(network, asdict(recipe), list(datamodule.manifest.scenes), {}, {}, [], seed=0)
            loader, parts = bare_steps(module, datamodule)
            period = statistics.median(lightning_steps(module, datamodule, Path(folder)))
            more, parts_after = bare_steps(module, datamodule)
            loader, parts = min(loader, more), min(parts, parts_after, key=lambda each: sum(each.values()))
            rest = period - loader - sum(parts.values())
            print(
                f"{name:40}{recipe.batch_size:6}{period * 1e3:9.2f}{loader / period:8.0%}"
                + "".join(f"{parts[part] / period:{width}.0%}" for part, width in zip(parts, (9, 9, 10), strict=True))
                + f"{rest / period:10.0%}{rest * 1e3:15.2f}",
                flush=True,
            )


def bare_steps(module: SceneModule, datamodule: SceneDataModule, epochs: int = 3) -> tuple[float, Parts]:
    """Median seconds per batch of the loader, and of the parts of a step of a bare loop over the same batches."""
    loop, loads, steps = Loop(module.network.to(DEVICE).train()), [], []
    for _ in range(epochs):
        batches = iter(datamodule.train_dataloader())
        while True:
            started = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                break
            loads.append(time.perf_counter() - started)
            steps.append(loop.step({name: values.to(DEVICE) for name, values in batch.items()}))
    parts = {part: statistics.median(step[part] for step in steps) for part in steps[0]}
    return statistics.median(loads), parts


def lightning_steps(module: SceneModule, datamodule: SceneDataModule, folder: Path, epochs: int = 3) -> list[float]:
    """Seconds of every step but each epoch's first, under a Trainer as a stage has it, without bar and logger."""
    periods = Periods()
    trainer = Trainer(
        accelerator="gpu" if DEVICE.type == "cuda" else "cpu",
        devices=1,
        max_epochs=epochs,
        callbacks=[periods],
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, datamodule=datamodule)
    return periods.seconds


def has_bf16() -> bool:
    """Whether the device has instructions for bfloat16; without them it is emulated, at a fraction of the speed."""
    if DEVICE.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return "amx_bf16" in _cpu_flags() or "avx512_bf16" in _cpu_flags()


def _cpu_flags() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.read_text() if cpuinfo.is_file() else ""


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bf16", action="store_true", help="measure bfloat16 where it is emulated, too")
    parser.add_argument("--compiled", choices=("audio", "all", "none"), default="audio", help="what is compiled, too")
    parser.add_argument("--stages", default="", help="only stages whose names begin with this")
    options = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    bf16 = options.bf16 or has_bf16()
    where = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{where}, torch {torch.__version__}")
    if not bf16:
        print("Without bf16: this processor has no instructions for it; --bf16 measures the emulation")
    stage_table([stage for stage in STAGES if stage.name.startswith(options.stages)], bf16, options.compiled)
    step_table()
    bare_loop_table()


if __name__ == "__main__":
    main()
