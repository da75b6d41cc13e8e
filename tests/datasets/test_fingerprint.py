"""Recordings that sound the same: told in other formats, at other gains and with delays, and no others."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import lfilter

from sedcrnn.datasets.fingerprint import LENGTH, codes, find_alike, fingerprint

RATE = 48000
Samples = NDArray[np.float64]


def noise(seed: int, seconds: float, rate: int = RATE) -> Samples:
    """Noise of falling spectrum, (2, sample)."""
    white = np.random.default_rng(seed).standard_normal((2, round(seconds * rate)))
    return lfilter([0.05], [1, -0.95], 0.2 * white)


def write(path: Path, samples: Samples, codec: str, bit_rate: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=44100 if codec != "libopus" else RATE, layout="stereo")
        stream.bit_rate = bit_rate
        resampler = av.AudioResampler(
            stream.format.name, "stereo", stream.rate, stream.codec_context.frame_size or None
        )
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), format="fltp", layout="stereo")
        frame.rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "bit_rate"),
    [("a.mp3", "libmp3lame", 128_000), ("a.mkv", "aac", 96_000), ("a.opus", "libopus", 64_000), ("a.flac", "flac", 0)],
)
def test_a_recording_is_known_again_in_another_format(tmp_path: Path, name: str, codec: str, bit_rate: int) -> None:
    alike = []
    for seed in range(3):
        samples = noise(seed, 5)
        soundfile.write(tmp_path / "a.wav", samples.T, RATE)
        copy = write(tmp_path / name, 0.4 * samples, codec, bit_rate)
        alike += find_alike([fingerprint(tmp_path / "a.wav"), fingerprint(copy)])
    assert alike == [(0, 1)] * 3


def test_unrelated_noise_is_never_alike() -> None:
    made = [codes(noise(seed, 2.5, 16000)[0], 16000) for seed in range(400)]
    assert find_alike(made) == []  # of 79,800 pairs


def test_copies_are_found_among_many_and_silence_is_like_nothing() -> None:
    made = [codes(noise(seed, 3, 16000)[0], 16000) for seed in range(50)]
    silence = codes(np.zeros(48000), 16000)
    late = codes(np.concatenate([np.zeros(4000), 0.2 * noise(7, 3, 16000)[0]]), 16000)
    assert not silence.any()
    assert find_alike([*made, silence, silence, late]) == [(7, 52)]


def test_codes_have_the_stated_length() -> None:
    assert len(codes(noise(0, 10, 16000)[0], 16000)) == LENGTH == 77
    assert len(codes(np.zeros(1000), 16000)) == 0
