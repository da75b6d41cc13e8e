"""The visual path in one run: decoding and storage, frame features, stages with and without what frozen parts made.

python -m sedcrnn.benchmarks.visual_benchmark     (make bench-visual installs the packages to compare decoding with first)
"""

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sedcrnn.benchmarks import decoding_benchmark
from sedcrnn.benchmarks.cache_benchmark import epochs_table
from sedcrnn.benchmarks.loops import DEVICE, matrix_seconds, now
from sedcrnn.benchmarks.training_benchmark import has_bf16
from sedcrnn.networks.backbones import FrameEncoder

CLIPS, FRAMES = 12_291, 50  # of TAU's development set; its clips have ten seconds
SIDE = 224
REPEATS = 3

Encode = Callable[[Tensor], Tensor]


def variants(bf16: bool) -> Iterator[tuple[str, Encode]]:
    """The ways to run VGG16's convolutions, all with the same weights."""
    torch.manual_seed(0)
    encoder = FrameEncoder(normalisation="imagenet").to(DEVICE).eval()
    backbone: Any = encoder.backbone

    def plain(frames: Tensor) -> Tensor:
        images = (frames[0].float() - encoder.mean) / encoder.std
        pooled: Tensor = backbone.forward_features(images).amax((-2, -1))
        return pooled[None]

    def in_bf16(network: nn.Module) -> Encode:
        def run(frames: Tensor) -> Tensor:
            with torch.autocast(DEVICE.type, torch.bfloat16):
                encoded: Tensor = network(frames)
            return encoded

        return run

    yield "fp32, contiguous", plain
    yield "fp32, channels_last (as it is)", encoder
    compiled = FrameEncoder(normalisation="imagenet").to(DEVICE).eval()
    compiled.load_state_dict(encoder.state_dict())
    compiled.compile()
    yield "fp32, compiled", compiled
    if bf16:
        yield "bf16, channels_last", in_bf16(encoder)
        yield "bf16, compiled", in_bf16(compiled)


@torch.inference_mode()
def encoder_table(decoding: float) -> None:
    """Frames per second of every variant, in turn; the share of the matrix peak; and what it means for TAU.

    Args:
        decoding: CPU seconds of one clip, on one core.
    """
    batch = 256 if DEVICE.type == "cuda" else 10
    frames = torch.randint(0, 256, (1, batch, 3, SIDE, SIDE), dtype=torch.uint8, device=DEVICE)
    bf16 = has_bf16()
    encoders = dict(variants(bf16))
    reference = next(iter(encoders.values()))(frames).float()
    errors = {name: _relative(encode(frames).float(), reference) for name, encode in encoders.items()}
    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    size = 8192 if DEVICE.type == "cuda" else 1024
    products: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for _ in range(REPEATS):
        products["fp32"].append(matrix_seconds(size, torch.float32))
        if bf16:
            products["bf16"].append(matrix_seconds(size, torch.bfloat16))
        for name, encode in encoders.items():
            started = now()
            encode(frames)
            seconds[name].append(now() - started)
    with FlopCounterMode(display=False) as counter:
        next(iter(encoders.values()))(frames[:, :1])
    operations = counter.get_total_flops()  # of one frame
    print(f"\nVGG16's convolutions, {batch} frames of {SIDE}x{SIDE} at a time, {_where()}")
    print(f"{'':34}{'frames/s':>10}{'ratio':>8}{'of peak':>9}{'relative error':>16}{'TAU, hours':>12}")
    base = min(seconds["fp32, contiguous"])
    for name, taken in seconds.items():
        rate = batch / min(taken)
        peak = 2 * size**3 / min(products[name[:4]])
        print(
            f"{name:34}{rate:10.1f}{base / min(taken):8.2f}{rate * operations / peak:9.0%}{errors[name]:16.1e}"
            f"{CLIPS * FRAMES / rate / 3600:12.1f}"
        )
    if DEVICE.type == "cuda":
        print(f"Peak memory: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    if not bf16:
        print("Without bf16: this processor has no instructions for it")
    hours = CLIPS * decoding / 3600
    print(f"Decoding all {CLIPS:,} clips of TAU, at the {decoding:.2f} s measured here: {hours:.1f} core hours")


def _relative(values: Tensor, reference: Tensor) -> float:
    return float((values - reference).norm() / reference.norm())


def _where() -> str:
    return torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def main() -> None:
    """Print the tables."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")  # of Lightning, about what a benchmark leaves out
    with tempfile.TemporaryDirectory() as folder:
        films = decoding_benchmark.write_films(Path(folder))
        print("CPU time, one core, 10 s of H.264 at 720p to 50 frames of 224x224")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        decoding = decoding_benchmark.decode_table(films)
        print()
        decoding_benchmark.storage_table(films, Path(folder) / "store")
        torch.set_num_threads(threads)
    encoder_table(decoding)
    epochs_table()


if __name__ == "__main__":
    main()
