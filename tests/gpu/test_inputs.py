"""What the network gets is made on the device: spectrograms as on the CPU, JPEG frames to a few levels."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sedcrnn.augmentation.spectrogram_augmentation import SpectrogramAugmentation
from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.window_dataset import WindowDataset, moved
from sedcrnn.datasets.windows import Window
from sedcrnn.features.feature import Feature
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone
from sedcrnn.features.frames import Frames
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.features.store import FeatureStore

pytestmark = pytest.mark.gpu

WINDOWS = [Window(0, 3, draw=2**64 - 1), Window(1, 0, draw=5), Window(0, 17, draw=6)]
FRAMES = Frames(height=48, width=64, storage="jpeg", jpeg_decoder="gpu")


def dataset(folder: Path, feature: Feature, values: list[np.ndarray], augmentation=None) -> WindowDataset:
    store, clips = FeatureStore(folder / "store"), []
    for number, one in enumerate(values):
        file = folder / f"{feature.name}{number}"
        file.write_text(str(number))
        clips.append(Clip(str(number), file, file, "park", "", str(number), "train"))
        store.write(file, feature, one)
    augmentations = {feature.name: augmentation} if augmentation else None
    return WindowDataset(clips, ["park"], {feature.name: feature}, store, augmentations)


def test_augmented_spectrograms_are_those_of_the_cpu(tmp_path: Path, device: torch.device) -> None:
    rng = np.random.default_rng(0)
    values = [rng.integers(-20_000, 0, (columns, 3, 64), dtype=np.int16) for columns in (300, 100)]
    augmentation = SpectrogramAugmentation(gain=6, swap=0.5, band_masks=2, column_masks=2)
    data = dataset(tmp_path, Spectrogram(bank=RecursiveGammatone()), values, augmentation)
    on_cpu = data.network_inputs(data.batch(WINDOWS))["spectrogram"]
    on_device = data.network_inputs(moved(data.batch(WINDOWS), device))["spectrogram"]
    assert on_device.device.type == device.type
    assert (on_cpu.amin((1, 2, 3)) == -1).all()
    torch.testing.assert_close(on_device.cpu(), on_cpu, atol=1e-5, rtol=0)


def test_jpeg_frames_are_those_of_the_cpu_to_a_few_levels(
    tmp_path: Path, device: torch.device, record_property: Callable[[str, object], None]
) -> None:
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 6, 8)))
    scenery = torch.nn.functional.interpolate(coarse, (48, 64), mode="bicubic")[0].permute(1, 2, 0).numpy()
    values = []
    for steps, grain in ((30, 20), (10, 2)):  # files of different lengths
        pixels = np.clip(scenery + rng.normal(0, grain, (steps, 48, 64, 3)), 0, 255).astype(np.uint8)
        values.append(FRAMES._encode(pixels))
    data = dataset(tmp_path, FRAMES, values)
    in_loader = replace(FRAMES, jpeg_decoder="cpu")
    exact = WindowDataset(data.clips, ["park"], {"frames": in_loader}, FeatureStore(tmp_path / "store"))
    expected = exact.batch(WINDOWS)["frames"].int()
    decoded = data.network_inputs(moved(data.batch(WINDOWS), device))["frames"]
    assert decoded.device.type == device.type
    assert (decoded.shape, decoded.dtype) == ((3, 5, 3, 48, 64), torch.uint8)
    away = (decoded.cpu().int() - expected).abs()
    record_property("largest difference, levels of 255", away.max().item())
    record_property("mean difference, levels of 255", away.float().mean().item())
    assert away.max() <= 4
    assert away.float().mean() < 0.5
