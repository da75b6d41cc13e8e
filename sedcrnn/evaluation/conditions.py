"""Clips -> windows of their audio, and of their video, as they would be under worse conditions.

A condition is a kind of audio with a kind of video, so that each is encoded once for all conditions that share it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sedcrnn.augmentation import Augmentation
from sedcrnn.augmentation.batch_augmentation import without
from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.window_dataset import Batch, ClipWindows, WindowDataset
from sedcrnn.datasets.windows import STEPS_PER_WINDOW, Window, random_number
from sedcrnn.features.feature import Feature
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.features.store import FeatureStore

AS_IT_IS = "as it is"
ABSENT = "absent"

AUDIO_KINDS = (AS_IT_IS, "silent", "noise at 10 dB", "noise at 0 dB", "of another clip", "0.4 s late", "1 s late")
VIDEO_KINDS = (AS_IT_IS, "black", "noisy", "dark")

COMPLETE = "complete"
CONDITIONS = {
    COMPLETE: (AS_IT_IS, AS_IT_IS),
    "audio missing": (ABSENT, AS_IT_IS),
    "video missing": (AS_IT_IS, ABSENT),
    "silence": ("silent", AS_IT_IS),
    "black frames": (AS_IT_IS, "black"),
    "noise in the audio, 10 dB": ("noise at 10 dB", AS_IT_IS),
    "noise in the audio, 0 dB": ("noise at 0 dB", AS_IT_IS),
    "noise in the video": (AS_IT_IS, "noisy"),
    "dark video": (AS_IT_IS, "dark"),
    "audio of another clip": ("of another clip", AS_IT_IS),
    "audio 0.4 s late": ("0.4 s late", AS_IT_IS),
    "audio 1 s late": ("1 s late", AS_IT_IS),
}
"""Name -> kind of audio, kind of video."""

REMOVED = ("audio missing", "video missing", "silence", "black frames")
"""Conditions under which a network knows less, and should not be more confident."""

SIGNAL_TO_NOISE = {"noise at 10 dB": 10.0, "noise at 0 dB": 0.0}  # dB
LATE = {"0.4 s late": 2, "1 s late": 5}  # steps
NOISE_DEVIATION = 25.0  # levels of 255
DARKNESS = 0.25  # of the light that is left


@dataclass(frozen=True)
class AddedNoise(Augmentation):
    """White noise, independent in left and right, under a window's audio. Powers of independent signals add up."""

    noise: Tensor  # decibels of one second of white noise from the same front end, (channel, band, column)
    ratio: float  # of the window's mean power to the noise's, in dB, over all channels, bands and columns

    active = True

    def __call__(self, decibels: Tensor, draw: int, /) -> Tensor:
        """(channel, band, column) decibels -> the same with noise; the draw rotates the noise in time."""
        noise = self.noise.roll(draw % self.noise.shape[-1], -1)
        wanted = _mean_power(decibels) - self.ratio
        raised = noise + wanted - _mean_power(noise)
        return torch.logaddexp(decibels / _NEPER, raised / _NEPER) * _NEPER


class ChangedWindows(ClipWindows):
    """Windows of one modality, `spectrogram` or `frames`, under one of `AUDIO_KINDS` or `VIDEO_KINDS`."""

    def __init__(
        self, clips: Sequence[Clip], scenes: Sequence[str], name: str, feature: Feature, store: FeatureStore, kind: str
    ) -> None:
        self.name, self.kind = name, kind
        noise: dict[str, Augmentation] = {}
        if kind in SIGNAL_TO_NOISE and isinstance(feature, Spectrogram):
            noise = {name: AddedNoise(_white_noise(feature), SIGNAL_TO_NOISE[kind])}
        self.plain = WindowDataset(clips, scenes, {name: feature}, store, augmentations=noise)
        super().__init__(clips, scenes, self.plain.steps)

    def values(self, windows: Sequence[Window]) -> Batch:
        """The changed windows of the modality."""
        moved = [self._moved(window) for window in windows]
        batch = self.plain.network_inputs(self.plain.batch(moved))
        batch = {self.name: batch[self.name]}
        if self.kind in ("silent", "black"):
            batch = without(batch, self.name)
        elif self.kind in ("noisy", "dark"):
            change = _noisy if self.kind == "noisy" else _dark
            changed = [change(one, window.draw or 0) for one, window in zip(batch["frames"], moved, strict=True)]
            batch["frames"] = torch.stack(changed)
        return batch

    def _moved(self, window: Window) -> Window:
        """Where the values of a window come from, and a number that its noise is drawn from."""
        clip, step = window.clip, window.step
        if self.kind == "of another clip":
            # The first clip of another scene, from the middle of the fold on; the clip itself where there is none.
            count = len(self.clips)
            order = ((window.clip + count // 2 + further) % count for further in range(count))
            clip = next((other for other in order if not self.scene[other].equal(self.scene[window.clip])), clip)
        # The audio of a moment before; at the beginning of a clip, that of its end.
        step = (step - LATE.get(self.kind, 0)) % (self.steps[clip] - STEPS_PER_WINDOW + 1)
        return Window(clip, step, random_number(0, window.step, self.clips[window.clip].id))


def _noisy(frames: Tensor, draw: int) -> Tensor:
    noise = NOISE_DEVIATION * torch.randn(frames.shape, generator=torch.Generator().manual_seed(draw >> 1))
    return (frames + noise).round().clamp(0, 255).to(frames.dtype)


def _dark(frames: Tensor, _: int) -> Tensor:
    return (DARKNESS * frames).round().to(frames.dtype)


_NEPER = 10 / math.log(10)  # decibels of power per unit of its natural logarithm


def _mean_power(decibels: Tensor) -> Tensor:
    return (decibels / _NEPER).flatten().logsumexp(0) * _NEPER - 10 * math.log10(decibels.numel())


def _white_noise(feature: Spectrogram) -> Tensor:
    """Decibels of a second of white noise, independent in left and right."""
    rate = feature.sample_rate
    wave: Any = np.random.default_rng(0).standard_normal((2, 2 * rate)) / 10
    columns = np.concatenate(list(feature.bank.columns([wave], rate, feature.hop, feature.layout)), axis=-1)
    second = columns[..., -STEPS_PER_WINDOW * feature.per_step :]  # the first one holds the filters' onset
    return torch.from_numpy(20 * np.log10(np.maximum(second, feature.amin))).float()
