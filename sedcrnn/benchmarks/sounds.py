"""Seed -> ten seconds of stereo of several kinds, each hard for a filter bank in its own way."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float64]
RATE, SAMPLES = 44100, 441_000


def noise() -> Wave:
    """White noise at 24 bits: every band has its share."""
    return np.round(np.random.default_rng(5).standard_normal((2, SAMPLES)) * 0.1 * 2**23) / 2**23


def tones() -> Wave:
    """Two pure tones per side: most bands are over 100 dB under the loudest."""
    time = np.arange(SAMPLES) / RATE
    left, right = (0.2 * np.sin(2 * np.pi * hz * time) for hz in (440.0, 1000.0))
    high_left, high_right = (0.05 * np.sin(2 * np.pi * hz * time) for hz in (3000.0, 12000.0))
    return np.stack([left + high_left, right + high_right])


def transients() -> Wave:
    """A click or a decaying burst every so often, and digital silence between."""
    rng = np.random.default_rng(6)
    wave = np.zeros((2, SAMPLES))
    for start in rng.integers(0, SAMPLES - 4410, 12):
        wave[:, start] += rng.uniform(-0.9, 0.9, 2)
        wave[:, start + 500 : start + 4400] += 0.3 * rng.standard_normal((2, 3900)) * np.exp(-np.arange(3900) / 300)
    return wave


def near_mono() -> Wave:
    """Both sides alike but for 1e-4 of their level: the difference is 80 dB under them."""
    rng = np.random.default_rng(7)
    return 0.1 * rng.standard_normal(SAMPLES) + 1e-5 * rng.standard_normal((2, SAMPLES))


def band_limited() -> Wave:
    """Noise of 300 to 3,400 Hz, cut off by a wall: outside, only the filters' skirts remain."""
    spectrum = np.fft.rfft(np.random.default_rng(8).standard_normal((2, SAMPLES)))
    hz = np.fft.rfftfreq(SAMPLES, 1 / RATE)
    return 0.3 * np.fft.irfft(np.where((hz > 300) & (hz < 3400), spectrum, 0), SAMPLES)


def direct_current() -> Wave:
    """A constant on one side, under faint noise."""
    return np.array([[0.25], [0.0]]) + 1e-3 * np.random.default_rng(9).standard_normal((2, SAMPLES))


KINDS: dict[str, Callable[[], Wave]] = {
    kind.__name__: kind for kind in (noise, tones, transients, near_mono, band_limited, direct_current)
}
