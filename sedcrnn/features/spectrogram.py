"""Sound -> stereo at the analysis rate -> bank of filters -> decibels per band and column, kept as int16.

The stored array is (column, channel, band): time first, so that a window is one contiguous piece of the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sedcrnn.datasets.clips import Clip
from sedcrnn.errors import ConfigError
from sedcrnn.features.audio_file import open_sound, resampled
from sedcrnn.features.channels import ChannelLayout, channel_layout
from sedcrnn.features.feature import STEPS_PER_SECOND, Feature, count_steps
from sedcrnn.features.filterbanks import FilterBank, Floats

UNITS_PER_DECIBEL = 200
"""int16 spans +-163 dB with this; after scaling the rounding error stays below 4e-4 (frontend.md)."""

LOWEST_FLOOR = 1e-8
"""-160 dB, the last whole ten decibels that int16 spans."""

FLAT = 1e-6
"""A window whose values span no more than this, in dB, has nothing to scale."""


@dataclass(frozen=True, kw_only=True)
class Spectrogram(Feature):
    """The sound as the audio network takes it: RMS amplitudes of a bank of filters, 20 log10.

    Any sample rate, and any number of channels (`open_sound` says how more than two are mixed down); mono counts as
    two equal channels, whose difference lies at the floor.

    The authors first divide a clip's waveform by its max - min. That moves all decibels by one constant, which the
    min-max scaling of each window (`scale_window`) takes out again, so it is left out here.

    Args:
        bank: the filters.
        channels: `left_right_difference` (the paper's), `left_right`, `mid_side` or `mono`.
        sample_rate: in Hz; sound is resampled to it.
        hop: seconds from one column to the next; a frame of the picture (1/5 s) is a whole number of columns.
        amin: RMS amplitude under which everything counts as equally silent; 1e-7 is -140 dB.

    Raises:
        ConfigError: an unknown channel layout, a hop or a floor that does not fit.
    """

    bank: FilterBank
    channels: str = "left_right_difference"
    sample_rate: int = 44100
    hop: float = 0.02
    amin: float = 1e-7

    name = "spectrogram"

    def __post_init__(self) -> None:
        channel_layout(self.channels)
        columns = 1 / (STEPS_PER_SECOND * self.hop) if self.hop > 0 else 0
        if columns < 1 or abs(columns - round(columns)) > 1e-6:
            raise ConfigError(
                f"features.spectrogram.hop={self.hop}",
                f"A video frame of 1/{STEPS_PER_SECOND} s is a whole number of columns",
                "Set features.spectrogram.hop=0.02, for ten",
            )
        if not LOWEST_FLOOR <= self.amin < 1:
            raise ConfigError(
                f"features.spectrogram.amin={self.amin:g}",
                f"It is an amplitude from {LOWEST_FLOOR:g} (what the store can hold) to 1",
                "Set features.spectrogram.amin=1e-7",
            )

    @property
    def per_step(self) -> int:
        """Columns per 1/5 s."""
        return round(1 / (STEPS_PER_SECOND * self.hop))

    @property
    def layout(self) -> ChannelLayout:
        """The channels and how they are made of left and right."""
        return channel_layout(self.channels)

    def source(self, clip: Clip) -> Path:
        """The clip's file with the sound."""
        return clip.audio

    def parameters(self) -> dict[str, object]:
        """All that determines the output."""
        return {
            "version": 2,
            "bank": self.bank.parameters(),
            "channels": self.channels,
            "analysis_rate": self.sample_rate,
            "hop": self.hop,
            "floor": self.amin,  # as these keys of the store were called before
        }

    def extract(self, path: Path) -> NDArray[np.int16]:
        """Make the spectrogram of a sound, block by block.

        Returns:
            (column, channel, band) in 1/200 dB, highest band first; `per_step` columns per 1/5 s of sound: a window of
            two hops fits 499 times into 10 s, and the last column is repeated.

        Raises:
            ClipError: as `open_sound` and `Sound.blocks`, or the sound lasts less than a second.
        """
        return np.concatenate(list(self.stream(path)))

    def stream(self, path: Path) -> Iterator[NDArray[np.int16]]:
        """The spectrogram in pieces (column, channel, band), as they become ready; parameters and errors as `extract`.

        The last step is held back until the length of the sound is known, which may cut or lengthen it.
        """
        made = 0
        with open_sound(path) as sound:
            blocks = resampled(sound.blocks(), sound.sample_rate, self.sample_rate)
            held = np.empty((0, len(self.layout.names), self.bank.bands), np.int16)
            for amplitude in self.bank.columns(blocks, self.sample_rate, self.hop, self.layout):
                piece = np.concatenate([held, self._encode(amplitude)])
                ready = max(0, len(piece) - self.per_step)
                yield piece[:ready]
                made, held = made + ready, piece[ready:]
        steps = count_steps(sound.samples / sound.sample_rate, path)
        yield held[np.minimum(np.arange(steps * self.per_step - made), len(held) - 1)]

    def decode(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Stored values as decibels, float32, in the same shape."""
        return stored.astype(np.float32) / np.float32(UNITS_PER_DECIBEL)

    def _encode(self, amplitude: Floats) -> NDArray[np.int16]:
        """RMS (channel, band, column) -> (column, channel, band) in 1/200 dB."""
        decibels = 20 * np.log10(np.maximum(amplitude, self.amin))
        return np.round(UNITS_PER_DECIBEL * decibels).astype(np.int16).transpose(2, 0, 1)


def scale_window(decibels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each window to [-1, 1] by its own minimum and maximum, jointly over channel, band and column.

    Args:
        decibels: (..., channel, band, column) of one second each.

    Returns:
        The same shape; a window whose values are all alike (max - min <= 1e-6 dB) becomes all -1.
    """
    window = (-3, -2, -1)
    low = decibels.min(axis=window, keepdims=True)
    span = decibels.max(axis=window, keepdims=True) - low
    flat = span <= FLAT
    scaled = 2 * (decibels - low) / np.where(flat, 1, span) - 1
    return np.where(flat, -1, scaled).astype(np.float32)
