"""All that `gpu_check` measures: its tables, in the order in which they are made; what is slowest to begin is last."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from sedcrnn.benchmarks import cpu_seconds, data_benchmark, gpu_encoding, gpu_feeding, gpu_steps
from sedcrnn.benchmarks.gpu_timing import DEVICE, GPU, Row, arithmetic, matrix_speed, seconds_of
from sedcrnn.features.filterbanks import LAYOUTS
from sedcrnn.features.filterbanks.gammatone_fourier import Convolution, FourierGammatone
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone

RATE, HOP, LAYOUT = 44100, 0.02, LAYOUTS["left_right_difference"]


class Figure(NamedTuple):
    """Rows of a table; figures that follow one another under one title make one table.

    Attributes:
        title: heading of the table.
        rows: yields them; whether to do so at the smallest size is its argument.
        seconds: it is given up after.
    """

    title: str
    rows: Callable[[bool], Iterator[Row]]
    seconds: float = 40


def ceilings(tiny: bool) -> Iterator[Row]:
    """What the device does at most: matrix products on random data, and a copy, bytes read and written."""
    size = 256 if tiny else 8192
    for name, dtype, tf32 in (
        ("bf16", torch.bfloat16, False),
        ("fp16", torch.float16, False),
        ("TF32", torch.float32, True),
        ("fp32", torch.float32, False),
    ):
        with arithmetic(tf32):
            yield {"ceiling": f"{name} product of {size}x{size}", "TFLOP/s": matrix_speed(dtype, size) / 1e12}
    source = torch.randn(2**18 if tiny else 2**30, device=DEVICE)
    target = torch.empty_like(source)
    seconds = seconds_of(lambda: target.copy_(source), tiny)
    yield {"ceiling": "copy within the device's memory", "TB/s": 2 * source.nbytes / seconds / 1e12}


def front_end(tiny: bool) -> Iterator[Row]:
    """Seconds of stereo audio per second: the Fourier bank on the device, alone and as extraction calls it, beside the
    compiled bank on one core."""
    duration = 1 if tiny else 10
    hops = round(duration / HOP)
    for dtype in ("float32", "float64"):
        bank = FourierGammatone(dtype=dtype, device=DEVICE.type, piece=float(duration))
        convolution = Convolution(bank, RATE, round(HOP * RATE), hops)
        for clips in (1,) if tiny else (1, 8, 32):
            waves = torch.randn(clips, 3, convolution.size, device=DEVICE, dtype=convolution.dtype)
            seconds = seconds_of(partial(convolution, waves), tiny)
            yield _audio(f"Fourier, {dtype}, {clips} clips of {duration} s", clips * duration, seconds)
    wave = 0.1 * np.random.default_rng(0).standard_normal((2, duration * RATE))
    for name, whole in (
        ("Fourier, float32, from and to the CPU", FourierGammatone(device=DEVICE.type, piece=float(duration))),
        ("recursive, float64, one core", RecursiveGammatone()),
    ):

        def analyse(bank: FourierGammatone | RecursiveGammatone = whole) -> None:
            list(bank.columns([wave], RATE, HOP, LAYOUT))

        on_device = isinstance(whole, FourierGammatone)
        yield _audio(name, duration, seconds_of(analyse, tiny) if on_device else cpu_seconds(analyse, repeats=3))


def _audio(way: str, duration: float, seconds: float) -> Row:
    return {"bank": way, "ms": 1e3 * seconds, "s of audio per s": duration / seconds}


def _steps(name: str, *batch_sizes: int) -> dict[str, Figure]:
    """Each batch size by itself, so that one that does not fit costs no other."""
    return {
        f"step: {name}, {windows}": Figure(
            f"Training steps of a bare loop on {DEVICE_NAME}", partial(gpu_steps.bare_steps, name=name, windows=windows)
        )
        for windows in batch_sizes
    }


def _of_stages(
    what: str, title: str, make: Callable[..., Iterator[Row]], *stages: tuple[str, int]
) -> dict[str, Figure]:
    return {
        f"{what}: {name}, {windows}": Figure(f"{title} on {DEVICE_NAME}", partial(make, name=name, windows=windows))
        for name, windows in stages
    }


DEVICE_NAME = torch.cuda.get_device_name() if GPU else f"a CPU, {torch.get_num_threads()} threads"
_VGG = "visual, fine-tuning"

GRAPHS = "reduce-overhead"

# Stage, windows in a batch, and how it is compiled.
COMPILED: list[tuple[str, int, bool | str]] = [
    (_VGG, 32, True),
    ("audio", 32, GRAPHS),
    ("audio", 256, GRAPHS),
    ("audio_encoder", 256, GRAPHS),
    ("audio_lite, fine-tuning", 256, GRAPHS),
]

# Stage, what it is fed, windows in a batch, and how it is compiled.
FED: list[tuple[str, str, int, bool | str]] = [
    ("audio", "spectrograms", 256, GRAPHS),
    ("audio", "spectrograms, augmented", 256, False),
    *((_VGG, inputs, 32, False) for inputs in data_benchmark.INPUTS if inputs.startswith("frames")),
]

FIGURES: dict[str, Figure] = {
    "ceilings": Figure(f"Ceilings of {DEVICE_NAME}", ceilings),
    **_steps("audio", 32, 256, 1024),
    **_steps("audio_encoder", 32, 256),
    **_steps("audio_lite, fine-tuning", 32, 256),
    **_steps("audio_lite, cached", 32),
    **_steps("fusion, cached", 32, 256, 1024, 4096),
    **_steps("visual, cached", 32),
    **_steps("visual, frozen VGG16", 64),
    **_steps(_VGG, 32),
    **_steps("visual_lite, cached", 32),
    **_steps("visual_lite, frozen", 64),
    **_steps("visual_lite, fine-tuning", 32),
    **_steps("fusion, fine-tuning", 32),
    **{
        f"compiled: {name}, {windows}": Figure(
            f"Compiled training steps on {DEVICE_NAME}",
            partial(gpu_steps.compiled_steps, name=name, windows=windows, mode=mode),
            seconds=90,
        )
        for name, windows, mode in COMPILED
    },
    **_of_stages(
        "graph",
        "A whole bf16 step as a CUDA graph",
        gpu_steps.graph_replay,
        ("audio", 32),
        ("fusion, cached", 32),
    ),
    **_of_stages(
        "settings",
        "Deterministic algorithms and cudnn.benchmark, bf16,",
        gpu_steps.settings,
        ("audio", 256),
        (_VGG, 32),
    ),
    **{
        f"Lightning: {name}": Figure(
            f"Steps under Lightning on {DEVICE_NAME}",
            partial(gpu_steps.under_lightning, name=name, batch_sizes=batch_sizes),
        )
        for name, batch_sizes in (("fusion, cached", (32, 1024)), ("audio, mixup", (32, 256)))
    },
    **{
        f"encoder: {preset} at {size}": Figure(
            f"Frozen frame encoders on {DEVICE_NAME}", partial(gpu_encoding.encoders, preset=preset, size=size)
        )
        for preset, size in (
            ("visual", 224),
            ("visual_lite", 224),
            ("visual_lite", 96),
            ("visual_small", 224),
            ("visual_large", 224),
            ("visual_cpu", 224),
        )
    },
    "encoding": Figure(f"Encoding of stored clips on {DEVICE_NAME}, {os.cpu_count()} cores", gpu_encoding.stored),
    "front end": Figure(f"Gammatone banks on {DEVICE_NAME}", front_end),
    **{
        f"fed: {name}, {inputs}, {windows}, {mode}": Figure(
            f"Training with the loader on {DEVICE_NAME}, {os.cpu_count()} cores",
            partial(gpu_feeding.fed_steps, name=name, inputs=inputs, windows=windows, mode=mode),
            seconds=60,
        )
        for name, inputs, windows, mode in FED
    },
    **{
        f"loader: {inputs}": Figure(
            f"The loader, with {os.cpu_count()} cores", partial(data_benchmark.rates, inputs=inputs), seconds=60
        )
        for inputs in data_benchmark.INPUTS
    },
}
