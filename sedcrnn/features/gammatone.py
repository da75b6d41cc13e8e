"""Waveform (2, sample) -> bank of gammatone filters -> RMS per window, of left, right and left - right.

The bank is that of M. Slaney (Apple Technical Report 35, 1993), as the authors used it through `gammatone` 1.0.3:
fourth-order gammatone filters on the ERB scale of Glasberg and Moore, each a cascade of four biquads.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import sosfilt

from sedcrnn.errors import ClipError, ConfigError

Floats = NDArray[np.float64]

EAR_Q = 9.26449
"""Glasberg and Moore: quality of the ear's filters at high frequencies."""

MIN_BANDWIDTH = 24.7
"""Glasberg and Moore: bandwidth in Hz of the ear's filters towards 0 Hz."""

INAUDIBLE = 1e-100
"""Added to every sample: too small to change any but an exact zero, and large enough that the filters' states never
decay into denormal numbers, which would make digital silence after a sound fifty times slower."""


def gammatone_rms(
    waveform: Floats,
    sample_rate: int = 44100,
    bands: int = 64,
    window: float = 0.04,
    hop: float = 0.02,
    low_hz: float = 0.0,
) -> Floats:
    """RMS of gammatone-filtered stereo sound; equals `gtgram(wave, sample_rate, window, hop, bands, low_hz)`.

    Filtering is linear, so left - right is the difference of the filtered channels. One band at a time, so that
    memory stays at a few copies of the waveform.

    Args:
        waveform: (2, sample): left, right.
        sample_rate: in Hz.
        bands: number of filters, from `low_hz` to just under half the sample rate.
        window: length of a window in seconds, a whole number of hops.
        hop: distance of two windows in seconds, a whole number of samples.
        low_hz: centre frequency of the lowest band.

    Returns:
        (3, band, frame): left, right, left - right; highest band first; windows that lie wholly within the sound.

    Raises:
        ClipError: the sound is shorter than one window.
        ConfigError: a hop that is not a whole number of samples, or a window of hops.
    """
    hop_samples = _whole(hop * sample_rate, f"hop={hop} s at {sample_rate} Hz", "samples")
    hops = _whole(window / hop, f"window={window} s with hop={hop} s", "hops")
    blocks = waveform.shape[-1] // hop_samples
    if blocks < hops:
        raise ClipError(
            f"A sound has {waveform.shape[-1]} samples",
            f"One window needs {hops * hop_samples} samples",
            "Remove the clip, or choose a shorter features.spectrogram.window",
        )
    cascades, gains = biquads(centre_frequencies(sample_rate, bands, low_hz), sample_rate)
    heard = waveform[:, : blocks * hop_samples] + INAUDIBLE
    rms = np.empty((3, bands, blocks - hops + 1))
    for band in range(bands):
        left, right = sosfilt(cascades[band], heard)
        for channel, filtered in enumerate((left, right, left - right)):
            block = filtered.reshape(blocks, hop_samples)
            energy = np.einsum("bs,bs->b", block, block)
            energy = np.lib.stride_tricks.sliding_window_view(energy, hops).sum(-1)
            rms[channel, band] = np.sqrt(energy / (hops * hop_samples)) / gains[band]
    return rms


def centre_frequencies(sample_rate: int, bands: int, low_hz: float) -> Floats:
    """Centre frequencies (band,) in Hz, evenly spaced on the ERB scale: highest first, `low_hz` last."""
    offset = EAR_Q * MIN_BANDWIDTH
    high = sample_rate / 2 + offset
    fraction = np.arange(1, bands + 1) / bands
    centres: Floats = high * np.exp(fraction * (np.log(low_hz + offset) - np.log(high))) - offset
    return centres


def biquads(centres: Floats, sample_rate: int) -> tuple[Floats, Floats]:
    """Slaney's cascades: four second-order sections with the same poles and one zero each.

    Args:
        centres: (band,) in Hz.
        sample_rate: in Hz.

    Returns:
        Sections (band, 4, 6) as `scipy.signal.sosfilt` takes them, and each cascade's gain (band,) at its centre
        frequency, by which its output is to be divided.
    """
    period = 1 / sample_rate
    angle = 2 * np.pi * centres * period
    decay = np.exp(-1.019 * 2 * np.pi * (centres / EAR_Q + MIN_BANDWIDTH) * period)
    outer, inner = np.sqrt(3 + 2**1.5), np.sqrt(3 - 2**1.5)
    zeros = np.cos(angle)[:, None] + np.array([outer, -outer, inner, -inner]) * np.sin(angle)[:, None]  # (band, 4)

    sections = np.zeros((len(centres), 4, 6))
    sections[:, :, 0] = period
    sections[:, :, 1] = -period * decay[:, None] * zeros
    sections[:, :, 3] = 1
    sections[:, :, 4] = (-2 * decay * np.cos(angle))[:, None]
    sections[:, :, 5] = (decay**2)[:, None]

    turn = np.exp(2j * angle)
    numerator = np.prod(turn[:, None] - (np.exp(1j * angle) * decay)[:, None] * zeros, axis=1)
    poles = period / decay / (-decay + 1 + turn * (1 - 1 / decay))
    return sections, np.abs(numerator * poles**4)


def _whole(number: float, what: str, unit: str) -> int:
    nearest = round(number)
    if nearest < 1 or abs(number - nearest) > 1e-6:
        raise ConfigError(
            f"{what} makes {number:g} {unit}",
            f"It has to make a whole number of {unit}",
            "Choose other values of features.spectrogram.window, hop or analysis_rate",
        )
    return nearest
