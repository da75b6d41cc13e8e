"""What the loader delivers: windows/s of spectrograms, raw frames and JPEG frames by number of processes, in one run.

python -m sedcrnn.benchmarks.data_benchmark     (make bench-data)

What leaves the loader, and what has become network input on the network's device, which is a GPU where there is one.
Spectrograms are cut by the process that trains, which is faster than to pass batches on. A bare memory map, of which
random windows are cut and stacked without anything else, is the bound. Clips are of ten seconds, as in TAU, at the
paper's sizes.
"""

import os
import tempfile
import time
import warnings
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from sedcrnn.augmentation.spectrogram_augmentation import SpectrogramAugmentation
from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.window_dataset import WindowDataset, moved, window_loader
from sedcrnn.datasets.windows import STEPS_PER_WINDOW, RandomWindows
from sedcrnn.features.feature import Feature
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone
from sedcrnn.features.frames import Frames
from sedcrnn.features.pack import make_pack
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.features.store import FeatureStore

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
STEPS, SIZE = 50, 224
WORKERS = (0, 1, 2, 4, 8)
BATCH = {"spectrogram": 256, "frames": 32}
CLIPS = {"spectrogram": 1000, "frames": 16}
AUGMENTED = SpectrogramAugmentation(gain=6, swap=0.5, band_masks=2, column_masks=2)
RAW = Frames(height=SIZE, width=SIZE)
JPEG = replace(RAW, storage="jpeg")
INPUTS: dict[str, tuple[Feature, SpectrogramAugmentation | None]] = {
    "spectrograms": (Spectrogram(bank=RecursiveGammatone()), None),
    "spectrograms, augmented": (Spectrogram(bank=RecursiveGammatone()), AUGMENTED),
    "frames, raw": (RAW, None),
    "frames, jpeg": (JPEG, None),
}
if DEVICE.type == "cuda":
    INPUTS["frames, jpeg, decoded by the GPU"] = (replace(JPEG, jpeg_decoder="gpu"), None)


def stored_clips(folder: Path, store: FeatureStore, feature: Feature, number: int) -> list[Clip]:
    """So many different clips whose features are in the store: noise, and grainy scenery as JPEG as large as TAU's."""
    rng = np.random.default_rng(0)
    clips = []
    for index in range(number):
        file = folder / f"{feature.name}-{index}.bin"
        file.write_bytes(f"{feature.name} {index}".encode())
        clips.append(Clip(f"clip{index}", file, file, "park", "", str(index), "train"))
        if isinstance(feature, Frames):
            coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 14, 14)))
            scenery = torch.nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bicubic")[0].permute(1, 2, 0).numpy()
            pixels = np.clip(scenery + rng.normal(0, 3, (STEPS, SIZE, SIZE, 1)), 0, 255).astype(np.uint8)
            store.write(file, feature, feature._encode(pixels))
        else:
            store.write(file, feature, rng.integers(-20_000, 0, (10 * STEPS, 3, 64), dtype=np.int16))
    return clips


def per_second(batches: Iterator[Any], batch_size: int, seconds: float) -> float:
    """Windows/s of an endless iterator of batches, after one that is not counted, when the device has done its work."""

    def now() -> float:
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    next(batches)
    done, started = 0, now()
    while time.perf_counter() - started < seconds:
        next(batches)
        done += 1
    return done * batch_size / (now() - started)


def bare_map(path: Path, rows: int, batch_size: int) -> Iterator[Any]:
    """Random windows of so many rows, cut out of one array on disk and stacked."""
    values = np.asarray(np.load(path, mmap_mode="r"))
    rng = np.random.default_rng(0)
    while True:
        starts = rng.integers(0, len(values) - rows, batch_size).tolist()
        yield np.stack([values[start : start + rows] for start in starts])


def training_loader(dataset: WindowDataset, batch_size: int, workers: int) -> DataLoader[Any]:
    """A loader as `train` has it."""
    names = [str(number) for number in range(len(dataset.clips))]
    return window_loader(dataset, RandomWindows(names, dataset.steps, batch_size, seed=0), workers)


def loaded(dataset: WindowDataset, batch_size: int, workers: int) -> Generator[Any]:
    """Its batches, one epoch after another; closing this ends the processes."""
    loader = training_loader(dataset, batch_size, workers)
    while True:
        yield from loader


def rates(tiny: bool = False, inputs: str = "") -> Iterator[dict[str, Any]]:
    """Rows of the table of some or all inputs, one by one: input, processes (none: a bare memory map), windows/s of
    loader and network, and seconds until the first batch is there and until the processes have ended."""
    for name in [inputs] if inputs else INPUTS:
        with tempfile.TemporaryDirectory() as folder:
            yield from _rates_of(name, Path(folder), tiny)


def make_dataset(name: str, folder: Path, tiny: bool = False) -> WindowDataset:
    """Windows of stored clips, each many times, so that epochs are long."""
    feature, augmentation = INPUTS[name]
    store = FeatureStore(folder / "store")
    own = stored_clips(folder, store, feature, 2 if tiny else CLIPS[feature.name])
    pack = make_pack([store.path(feature.source(clip), feature) for clip in own]) if feature.packed else None
    return WindowDataset(
        own * (10_000 // len(own)),
        ["park"],
        {feature.name: feature},
        store,
        {feature.name: augmentation} if augmentation else None,
        {feature.name: pack} if pack else None,
    )


def _rates_of(name: str, folder: Path, tiny: bool) -> Iterator[dict[str, Any]]:
    feature, augmentation = INPUTS[name]
    dataset, batch_size, seconds = make_dataset(name, folder, tiny), BATCH[feature.name], 0.1 if tiny else 1.0
    if not feature.coded and augmentation is None:
        path = dataset.packs[feature.name].path if feature.packed else dataset.entries[feature.name][0]
        bare = per_second(bare_map(path, STEPS_PER_WINDOW * feature.per_step, batch_size), batch_size, seconds)
        yield {"input": name, "processes": "bare memory map", "windows/s, loader": bare}
    for number in WORKERS[:1] if feature.on_device else WORKERS[:2] if tiny else WORKERS:
        row: dict[str, Any] = {"input": name, "processes": str(number)}
        times = [time.perf_counter()]
        batches = loaded(dataset, batch_size, number)
        next(batches)
        times.append(time.perf_counter())
        row["windows/s, loader"] = per_second(batches, batch_size, seconds)
        inputs = (dataset.network_inputs(moved(batch, DEVICE)) for batch in batches)
        row["as network input"] = per_second(inputs, batch_size, seconds)
        times.append(time.perf_counter())
        batches.close()
        times.append(time.perf_counter())
        yield row | {"s to the first batch": times[1] - times[0], "s to end": times[3] - times[2]}


def main() -> None:
    """Print the table."""
    device = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "CPU"
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more processes than cores
    print(f"{device}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(f"{'windows/s':36}{'processes':>16}{'loader':>12}{'as network input':>20}{'s to begin':>14}{'to end':>10}")
    for row in rates():
        columns = (("as network input", "20,.0f"), ("s to the first batch", "14.2f"), ("s to end", "10.2f"))
        network = "".join(f"{row[name]:{form}}" for name, form in columns if name in row)
        print(f"{row['input']:36}{row['processes']:>16}{row['windows/s, loader']:12,.0f}{network}", flush=True)


if __name__ == "__main__":
    main()
