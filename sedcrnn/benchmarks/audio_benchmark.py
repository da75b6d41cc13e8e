"""Every spectrogram against the package that the authors used: CPU time and error, side by side in one run.

python -m sedcrnn.benchmarks.audio_benchmark     (make bench-audio installs the reference package first)
"""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from sedcrnn.benchmarks import cpu_seconds
from sedcrnn.features.filterbanks import LAYOUTS, FilterBank
from sedcrnn.features.filterbanks.gammatone_fourier import FourierGammatone
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone
from sedcrnn.features.filterbanks.short_time import CQTBank, GammatoneSTFTBank, MelBank
from sedcrnn.features.spectrogram import Spectrogram

RATE, SAMPLES = 44100, 441_000
LAYOUT = LAYOUTS["left_right_difference"]
HOP, AMIN = 0.02, 1e-7

BANKS: dict[str, FilterBank] = {
    "gammatone (numba, float64)": RecursiveGammatone(),
    "gammatone_fourier (torch, float64)": FourierGammatone(dtype="float64"),
    "gammatone_fourier (torch, float32)": FourierGammatone(),
    "gammatone_stft (nnAudio)": GammatoneSTFTBank(),
    "mel (torchaudio)": MelBank(),
    "cqt (nnAudio)": CQTBank(),
}

Wave = NDArray[np.float64]


def noise() -> Wave:
    """White noise at 24 bits: every band has its share."""
    return np.round(np.random.default_rng(5).standard_normal((2, SAMPLES)) * 0.1 * 2**23) / 2**23


def tones() -> Wave:
    """Two pure tones in each channel: most bands are over 100 dB under the loudest."""
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
    """Both channels alike but for 1e-4 of their level: the difference is 80 dB under them."""
    rng = np.random.default_rng(7)
    return 0.1 * rng.standard_normal(SAMPLES) + 1e-5 * rng.standard_normal((2, SAMPLES))


def band_limited() -> Wave:
    """Noise of 300 to 3,400 Hz, cut off by a wall: outside, only the filters' skirts remain."""
    spectrum = np.fft.rfft(np.random.default_rng(8).standard_normal((2, SAMPLES)))
    hz = np.fft.rfftfreq(SAMPLES, 1 / RATE)
    return 0.3 * np.fft.irfft(np.where((hz > 300) & (hz < 3400), spectrum, 0), SAMPLES)


def direct_current() -> Wave:
    """A constant in one channel, under faint noise."""
    return np.array([[0.25], [0.0]]) + 1e-3 * np.random.default_rng(9).standard_normal((2, SAMPLES))


# Ten seconds of stereo, each hard for a filter bank in its own way; the same in every call.
KINDS: dict[str, Callable[[], Wave]] = {
    kind.__name__: kind for kind in (noise, tones, transients, near_mono, band_limited, direct_current)
}


def reference(wave: Wave) -> Wave:
    """`gammatone` 1.0.3 on L, R and L-R, as the authors called it: RMS (channel=3, band, column)."""
    try:
        from gammatone.gtgram import gtgram
    except ModuleNotFoundError:
        sys.exit("The reference package is missing: `make bench-audio`, or `pip install gammatone==1.0.3`.")
    left, right = wave
    return np.stack([gtgram(one, RATE, 0.04, HOP, 64, 0)[::-1] for one in (left, right, left - right)])


def analyse(bank: FilterBank, wave: Wave) -> Wave:
    """RMS (channel=3, band, column)."""
    return np.concatenate(list(bank.columns([wave], RATE, HOP, LAYOUT)), axis=-1)


def time_table() -> None:
    """CPU time of ten seconds of stereo, on one core, and how often it goes into the reference's."""
    wave = KINDS["noise"]()
    base = cpu_seconds(partial(reference, wave), repeats=2)
    print(f"{'CPU time, 10 s of stereo, one core':40}{'seconds':>10}{'x reference':>14}")
    print(f"{'gammatone 1.0.3 (the authors)':40}{base:10.3f}{1:14.1f}")
    for name, bank in BANKS.items():
        seconds = cpu_seconds(partial(analyse, bank, wave))
        print(f"{name:40}{seconds:10.3f}{base / seconds:14.1f}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.wav"
        soundfile.write(path, np.random.default_rng(0).standard_normal((10 * 48000, 2)) / 10, 48000, subtype="PCM_24")
        feature = Spectrogram(bank=RecursiveGammatone())
        seconds = cpu_seconds(partial(feature.extract, path))
    print(f"{'whole front end, from a 48-kHz wav file':40}{seconds:10.3f}{base / seconds:14.1f}")


def error_table() -> None:
    """Error of every gammatone bank on every kind of waveform, in decibels above amin."""

    def in_db(rms: Wave) -> Wave:
        return 20 * np.log10(np.maximum(rms, AMIN))

    names = [name for name in BANKS if name.startswith("gammatone")]  # which are to equal the reference
    print(f"\n{'error in dB: mean, largest':18}" + "".join(f"{name.split(' ', 1)[1]:>24}" for name in names))
    for kind, make in KINDS.items():
        wave = make()
        expected = in_db(reference(wave))
        errors = [np.abs(in_db(analyse(BANKS[name], wave)) - expected) for name in names]
        print(f"{kind:26}" + "".join(f"{error.mean():14.1e} {error.max():9.1e}" for error in errors))


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    time_table()
    error_table()


if __name__ == "__main__":
    main()
