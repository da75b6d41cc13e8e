"""Generator -> noise, curves, tones -> placed in time and between left and right -> microphone -> wav file.

A wave is float32, (samples,) or stereo (2, samples).
"""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy import fft

RATE = 48_000  # Hz, as in TAU
TABLE = 1024  # entries of a wavetable, a power of two

Wave = NDArray[np.float32]
Times = NDArray[np.float64]
Rng = np.random.Generator


def noise(rng: Rng, samples: int, slope: float, low: float = 20.0, high: float = 22_000.0) -> Wave:
    """Noise whose power falls with frequency**-slope between two corners (Hz), half of it common to both channels."""
    length = fft.next_fast_len(samples, real=True)
    frequency = np.maximum(fft.rfftfreq(length, 1 / RATE), 1.0)
    shape = frequency ** (-slope / 2) / np.sqrt((1 + (low / frequency) ** 4) * (1 + (frequency / high) ** 4))
    shape /= np.sqrt(np.mean(shape**2))
    white = rng.standard_normal((3, length), dtype=np.float32) * np.float32(0.5**0.5)
    spectrum = fft.rfft(white[:2] + white[2], length) * shape.astype(np.float32)
    return np.asarray(fft.irfft(spectrum, length)[:, :samples], np.float32)


def wander(rng: Rng, samples: int, every: float, low: float, high: float) -> Wave:
    """A curve that moves between low and high, with a new random goal `every` seconds."""
    goals = rng.uniform(low, high, int(samples / RATE / every) + 2)
    time = np.arange(samples) / (RATE * every)
    return np.interp(time, np.arange(goals.size), goals).astype(np.float32)


def wavetable(rng: Rng, harmonics: Times) -> Wave:
    """One period, of unit power, of harmonics 1, 2, 3 ... with the given amplitudes and random phases."""
    spectrum = np.zeros(TABLE // 2 + 1, np.complex128)
    spectrum[1 : harmonics.size + 1] = harmonics * np.exp(2j * np.pi * rng.uniform(size=harmonics.size))
    period = fft.irfft(spectrum)
    return np.asarray(period / period.std(), np.float32)


def phase(frequency: Wave) -> NDArray[np.intp]:
    """Position in a wavetable at every sample, for a frequency (Hz) per sample."""
    return (np.cumsum(frequency, dtype=np.float64) * (TABLE / RATE)).astype(np.intp) % TABLE


def tone(frequency: float | Times, seconds: float, decay: float) -> Wave:
    """A decaying sine with a soft start; a frequency (Hz) per sample makes it glide."""
    time = np.arange(round(seconds * RATE)) / RATE
    turns = np.cumsum(np.broadcast_to(frequency, time.shape)) / RATE
    return (np.sin(2 * np.pi * turns) * np.exp(-time / decay) * np.minimum(time / 0.005, 1)).astype(np.float32)


def sequence(parts: list[tuple[float, Wave]]) -> Wave:
    """One wave out of parts that begin at given seconds and may overlap."""
    begins = [round(start * RATE) for start, _ in parts]
    out = np.zeros(max(begin + part.size for begin, (_, part) in zip(begins, parts, strict=True)), np.float32)
    for begin, (_, part) in zip(begins, parts, strict=True):
        out[begin : begin + part.size] += part
    return out


def panned(wave: Wave, pan: float | Wave) -> Wave:
    """Both channels of a source at pan -1 (left) ... 1 (right), with equal power everywhere."""
    angle = (np.asarray(pan, np.float32) + 1) * np.float32(np.pi / 4)
    return np.stack([wave * np.cos(angle), wave * np.sin(angle)]) * np.float32(2**0.5)


def moments(rng: Rng, samples: int, per_second: float, before: float = 0.0) -> Times:
    """Random start times (s) of events at a mean rate, from `before` seconds ahead of the clip on."""
    duration = samples / RATE + before
    return rng.uniform(-before, duration - before, rng.poisson(per_second * duration))


def beats(rng: Rng, samples: int, period: float, jitter: float) -> Times:
    """Nearly regular start times (s) with a random beginning."""
    times = np.arange(rng.uniform(-period, 0), samples / RATE, period)
    return times + rng.normal(0, jitter * period, times.size)


def repeat(samples: int, starts: Times, pan: float, wave: Wave) -> Wave:
    """Add up one short wave at every start time (s), always at the same pan."""
    return scatter(samples, starts, lambda: pan, lambda: wave)


def scatter(samples: int, starts: Times, pan: Callable[[], float], make: Callable[[], Wave]) -> Wave:
    """Add up short waves, one made for each start time (s), at pans of their own."""
    out = np.zeros((2, samples), np.float32)
    for start in starts:
        begin = round(start * RATE)
        both = panned(make(), pan())[:, max(-begin, 0) :]
        both = both[:, : max(samples - max(begin, 0), 0)]
        out[:, max(begin, 0) : max(begin, 0) + both.shape[1]] += both
    return out


def microphone(mix: Wave, city: Rng, location: Rng, clip: Rng) -> Wave:
    """Nuisance: frequency response and noise of city and location, balance of the channels, and the clip's level."""
    samples = mix.shape[1]
    length = fft.next_fast_len(samples, real=True)
    octave = np.log2(fft.rfftfreq(length, 1 / RATE) + 20)
    knots = np.linspace(octave[0], octave[-1], 6)
    response = city.normal(0, 2.5, 6) + location.normal(0, 2.5, 6) + location.normal(0, 1, (2, 1))
    gain = np.stack([10 ** (np.interp(octave, knots, one) / 20) for one in response]).astype(np.float32)
    recorded = fft.irfft(fft.rfft(mix, length) * gain, length)[:, :samples]
    recorded /= recorded.std()
    noise_level, slope = 10 ** (location.uniform(-46, -34) / 20), location.uniform(0, 1)
    recorded += np.float32(noise_level) * noise(clip, samples, slope)
    level = 10 ** (clip.uniform(-20, -3) / 20) / np.abs(recorded).max()
    return np.asarray(recorded * np.float32(level), np.float32)


def wav(wave: Wave) -> bytes:
    """The bytes of a wav file: a stereo waveform (2, samples) as PCM of 24 bits at 48 kHz."""
    buffer = BytesIO()
    soundfile.write(buffer, wave.T, RATE, subtype="PCM_24", format="WAV")
    return buffer.getvalue()
