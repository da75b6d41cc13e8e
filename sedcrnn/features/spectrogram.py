"""Sound file -> stereo at the analysis rate -> gammatone RMS of L, R and L - R -> decibels, kept as int16.

The stored array is (frame, channel=3, band): time first, so that a window is one contiguous piece of the file.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sedcrnn.clips import Clip
from sedcrnn.errors import ConfigError
from sedcrnn.features.feature import COLUMNS_PER_STEP, STEPS_PER_SECOND, count_steps
from sedcrnn.features.gammatone import gammatone_rms
from sedcrnn.features.sound import read_waveform, resample

UNITS_PER_DECIBEL = 200
"""int16 spans +-163 dB with this; after scaling the rounding error stays below 4e-4 (frontend.md)."""

FLAT = 1e-6
"""A window whose values span no more than this, in dB, has nothing to scale."""


@dataclass(frozen=True)
class GammatoneSpectrogram:
    """The paper's spectrogram: ERB-spaced gammatone filters, RMS per window, 20 log10.

    The authors first divide a clip's waveform by its max - min. That moves all decibels by one constant, which the
    min-max scaling of each window (`scale_window`) takes out again, so it is left out here.

    Args:
        sample_rate: of the files, in Hz; a file with another one is an error.
        channels: of the files, 1 or 2; mono counts as two equal channels, whose difference lies at the floor.
        analysis_rate: in Hz; sound is resampled to it.
        bands: number of filters.
        window: seconds per spectrogram column.
        hop: seconds from one column to the next; ten columns go with one frame of the picture.
        low_hz: centre frequency of the lowest band.
        floor: RMS amplitude under which everything counts as equally silent; 1e-7 is -140 dB.

    Raises:
        ConfigError: channels other than 1 or 2, or a hop that does not give ten columns per 1/5 s.
    """

    sample_rate: int
    channels: int
    analysis_rate: int = 44100
    bands: int = 64
    window: float = 0.04
    hop: float = 0.02
    low_hz: float = 0.0
    floor: float = 1e-7

    name = "spectrogram"

    def __post_init__(self) -> None:
        if self.channels not in (1, 2):
            raise ConfigError(
                f"features.spectrogram.channels={self.channels}",
                "Sound is mono (1) or stereo (2)",
                "Mix the files down to stereo first",
            )
        wanted = 1 / (STEPS_PER_SECOND * COLUMNS_PER_STEP)
        if abs(self.hop - wanted) > 1e-9:
            raise ConfigError(
                f"features.spectrogram.hop={self.hop}",
                f"{COLUMNS_PER_STEP} columns go with one video frame of 1/{STEPS_PER_SECOND} s",
                f"Set features.spectrogram.hop={wanted}",
            )

    def source(self, clip: Clip) -> Path:
        """The clip's sound file."""
        return clip.audio

    def parameters(self) -> dict[str, object]:
        """All arguments, the method and its version."""
        return {"method": "gammatone", "version": 1, **asdict(self)}

    def extract(self, path: Path) -> NDArray[np.int16]:
        """Make the spectrogram of a sound file.

        Returns:
            (frame, channel=3, band) in 1/200 dB; channels L, R, L - R; highest band first; 10 frames per 1/5 s of
            sound: filtering 10 s gives 499, and the last one is repeated.

        Raises:
            ClipError: as `read_waveform`, or the sound lasts less than a second.
        """
        waveform = read_waveform(path, self.sample_rate, self.channels)
        steps = count_steps(waveform.shape[1] / self.sample_rate, path)
        if self.channels == 1:
            waveform = np.repeat(waveform, 2, axis=0)
        waveform = resample(waveform, self.sample_rate, self.analysis_rate)
        rms = gammatone_rms(waveform, self.analysis_rate, self.bands, self.window, self.hop, self.low_hz)
        decibels = 20 * np.log10(np.maximum(rms, self.floor))
        columns = np.minimum(np.arange(steps * COLUMNS_PER_STEP), rms.shape[-1] - 1)
        stored = np.round(UNITS_PER_DECIBEL * decibels[:, :, columns]).astype(np.int16)
        return np.ascontiguousarray(stored.transpose(2, 0, 1))

    def decode(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Stored values as decibels, float32, in the same shape."""
        return stored.astype(np.float32) / np.float32(UNITS_PER_DECIBEL)


def scale_window(decibels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each window to [-1, 1] by its own minimum and maximum, jointly over channel, band and frame.

    Args:
        decibels: (..., channel, band, frame) of one second each.

    Returns:
        The same shape; a window whose values are all alike (max - min <= 1e-6 dB) becomes all -1.
    """
    window = (-3, -2, -1)
    low = decibels.min(axis=window, keepdims=True)
    span = decibels.max(axis=window, keepdims=True) - low
    flat = span <= FLAT
    scaled = 2 * (decibels - low) / np.where(flat, 1, span) - 1
    return np.where(flat, -1, scaled).astype(np.float32)
