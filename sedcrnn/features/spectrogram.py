"""Audio -> stereo at one sample rate -> bank of filters -> decibels per band and column, kept as int16.

The stored array is (column, channel, band): time first, so that a window is one contiguous piece of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sedcrnn.errors import ConfigError
from sedcrnn.features.audio_file import open_audio, resampled
from sedcrnn.features.damage import damage_parameter
from sedcrnn.features.feature import STEPS_PER_SECOND, Change, Feature, count_steps, unchanged
from sedcrnn.features.filterbanks import LAYOUTS, ChannelLayout, FilterBank

if TYPE_CHECKING:  # see `feature`
    from torch import Tensor

UNITS_PER_DECIBEL = 200  # int16 spans +-163 dB; after scaling the rounding error is below 4e-4 (docs/front_end.md)
FLAT = 1e-6  # a window whose values span no more than this, in dB, has nothing to scale


@dataclass(frozen=True, kw_only=True)
class Spectrogram(Feature):
    """The audio as the audio network takes it: RMS amplitudes of a bank of filters, 20 log10.

    Any sample rate, and any number of channels (`open_audio` says how more than two are mixed down); mono counts as
    two equal channels, whose difference is as quiet as `amin`, an RMS amplitude.

    The authors first divide a clip's waveform by its max - min. That moves all decibels by one constant, which the
    min-max scaling of each window (`scale_windows`) takes out again, so it is left out here.

    Raises:
        ConfigError: a hop (in seconds) of which no whole number makes a step.
    """

    bank: FilterBank
    channels: str = "left_right_difference"
    sample_rate: int = 44100
    hop: float = 0.02
    amin: float = 1e-7
    damage: str = "stop"

    name = "spectrogram"
    track = "audio"
    packed = True

    def __post_init__(self) -> None:
        columns = 1 / (STEPS_PER_SECOND * self.hop)
        if columns < 1 or abs(columns - round(columns)) > 1e-6:
            raise ConfigError(
                f"features.spectrogram.hop={self.hop}",
                f"A video frame of 1/{STEPS_PER_SECOND} s is a whole number of columns",
                "Set features.spectrogram.hop=0.02, for ten",
            )

    @property
    def per_step(self) -> int:
        """Columns per 1/5 s."""
        return round(1 / (STEPS_PER_SECOND * self.hop))

    @property
    def layout(self) -> ChannelLayout:
        """The channels and how they are made of left and right."""
        return LAYOUTS[self.channels]

    @property
    def dimensions(self) -> dict[str, int]:
        """The numbers of channels, of bands, and of columns in a second."""
        columns = STEPS_PER_SECOND * self.per_step
        return {"channels": len(self.layout.names), "bands": self.bank.bands, "columns": columns}

    def parameters(self) -> dict[str, object]:
        """All that determines the output."""
        return {
            "version": 3,
            **damage_parameter(self.damage),
            "bank": self.bank.parameters(),
            "channels": self.channels,
            "analysis_rate": self.sample_rate,
            "hop": self.hop,
            "floor": self.amin,  # the store's keys hold the older name
        }

    def extract(self, path: Path) -> NDArray[np.int16]:
        """(column, channel, band) in 1/200 dB, highest band first; `per_step` columns per 1/5 s: a window of two hops
        fits 499 times into 10 s, and the last column is repeated.

        Raises:
            ClipError: as `open_audio` and `AudioReader.blocks`, or the audio lasts less than a second.
        """
        return np.concatenate(list(self._encoded(path)))

    def stream(self, path: Path) -> Iterator[NDArray[np.float32]]:
        """Decibels in pieces (column, channel, band), as they become ready; errors as `extract`."""
        return map(self.decoded, self._encoded(path))

    def encode(self, amplitude: NDArray[np.floating]) -> NDArray[np.int16]:
        """RMS amplitude (channel, band, column) as it is stored, (column, channel, band) in 1/200 dB."""
        decibels = 20 * np.log10(np.maximum(amplitude, self.amin)).transpose(2, 0, 1)
        stored: NDArray[np.int16] = np.round(UNITS_PER_DECIBEL * decibels).astype(np.int16)
        return stored

    def decode(self, stored: Tensor) -> Tensor:
        """Stored values as decibels, float32, in the same shape."""
        return stored.float().div_(UNITS_PER_DECIBEL)

    def network_input(self, values: Tensor, change: Change = unchanged) -> Tensor:
        """Decibels (window, column, channel, band) -> (window, channel, band, column) in [-1, 1], each window scaled by
        itself."""
        if change is not unchanged:
            values = change(values.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return scale_windows(values).permute(0, 2, 3, 1)

    def _encoded(self, path: Path) -> Iterator[NDArray[np.int16]]:
        """Pieces as they are stored. The last step is held back until the length of the audio is known, which may cut
        or lengthen it."""
        made = 0
        with open_audio(path, self.damage) as audio:
            blocks = resampled(audio.blocks(), audio.sample_rate, self.sample_rate)
            held = np.empty((0, len(self.layout.names), self.bank.bands), np.int16)
            for amplitude in self.bank.columns(blocks, self.sample_rate, self.hop, self.layout):
                piece = np.concatenate([held, self.encode(amplitude)])
                ready = max(0, len(piece) - self.per_step)
                yield piece[:ready]
                made, held = made + ready, piece[ready:]
        steps = count_steps(audio.samples / audio.sample_rate, path)
        yield held[np.minimum(np.arange(steps * self.per_step - made), len(held) - 1)]


def scale_windows(decibels: Tensor) -> Tensor:
    """Scale each window (window, ...) to [-1, 1] by its own minimum and maximum, jointly over all other axes; one whose
    values are all alike (max - min <= 1e-6 dB) becomes all -1."""
    windows = decibels.flatten(1)
    low = windows.amin(1, keepdim=True)
    span = windows.amax(1, keepdim=True) - low
    flat = span <= FLAT
    scaled = windows - low  # in place from here on: on a CPU, fresh memory takes longer than the arithmetic
    scaled.mul_(2).div_(span.masked_fill(flat, 1)).sub_(1).masked_fill_(flat, -1)
    return scaled.view_as(decibels)
