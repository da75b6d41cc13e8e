"""Recipe -> layers (motors, rails, voices, steps, birds, chimes ...) -> mix -> microphone -> stereo waveform.

A source is a function (generator, samples, pace) -> float32 (2, samples) of about unit level. Pace multiplies its rates
and tempi; all other parameters are drawn anew for each clip.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from sedcrnn.datasets.synthetic.scene_definitions import Recipe, draw_cues
from sedcrnn.datasets.synthetic.waves import (
    RATE,
    Rng,
    Wave,
    beats,
    microphone,
    moments,
    noise,
    panned,
    phase,
    repeat,
    scatter,
    sequence,
    tone,
    wander,
    wavetable,
)

VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))  # Hz


def motor(rng: Rng, samples: int, pace: float) -> Wave:
    """A combustion engine: harmonics of a wandering firing rate, and noise in their rhythm."""
    base = rng.uniform(28, 60) * pace
    turns = phase(wander(rng, samples, 0.7, base * 0.9, base * 1.2))
    order = np.arange(1, 30)
    hum = wavetable(rng, order**-0.8 * rng.uniform(0.2, 1, order.size))[turns]
    rhythm = 1 + np.float32(0.7) * wavetable(rng, np.array([1.0, 0.5]))[turns]
    breath = noise(rng, samples, 1.2, 60, 1500) * rhythm
    return np.asarray(panned(hum, rng.uniform(-0.4, 0.4)) + np.float32(0.5) * breath, np.float32)


def road(rng: Rng, samples: int, pace: float) -> Wave:
    """Tyres and far traffic: brown noise up to about 1 kHz, slowly swelling."""
    swell = wander(rng, samples, 0.8 / pace, 0.6, 1.2)
    return noise(rng, samples, 1.0, 40, rng.uniform(700, 1400)) * swell


def passing(rng: Rng, samples: int, pace: float) -> Wave:
    """A vehicle going by: tyre noise that swells and moves from side to side."""
    middle, width = rng.uniform(0, samples / RATE), rng.uniform(0.5, 1.2) / pace
    time = (np.arange(samples, dtype=np.float32) / RATE - middle) / width
    pan = np.tanh(time) * np.float32(rng.choice([-0.9, 0.9]))
    source = noise(rng, samples, 0.6, 150, rng.uniform(2500, 5000))[0]
    return panned(source * (np.float32(0.25) + 1 / (1 + time**2)), pan)


def rolling(rng: Rng, samples: int, pace: float) -> Wave:
    """Steel wheels: rumble and a resonant mid band, beating with the turns of the wheel."""
    turns = phase(wander(rng, samples, 1.0, 4 * pace, 7 * pace))
    beat = 1 + np.float32(0.25) * wavetable(rng, np.array([1.0, 0.6, 0.3]))[turns]
    ring = noise(rng, samples, 0.0, rng.uniform(350, 500), rng.uniform(800, 1100))
    rumble = noise(rng, samples, 2.0, 25, 200)
    return np.asarray((rumble + np.float32(0.7) * ring) * beat, np.float32)


def joints(rng: Rng, samples: int, pace: float) -> Wave:
    """Rail joints: double clacks (two axles) in a steady tempo."""
    low, mid, gap = rng.uniform(150, 260), rng.uniform(700, 1100), rng.uniform(0.1, 0.16) / pace
    knock = tone(low, 0.12, 0.03) + np.float32(0.7) * tone(mid, 0.12, 0.015)
    pair = sequence([(0.0, knock), (gap, np.float32(0.8) * knock)])
    return repeat(samples, beats(rng, samples, 0.7 / pace, 0.03), rng.uniform(-0.5, 0.5), pair)


def squeal(rng: Rng, samples: int, pace: float) -> Wave:
    """Wheel flanges and brakes: a high, fluttering tone that comes and goes."""
    pitch = rng.uniform(2200, 4500)
    turns = phase(wander(rng, samples, 0.08, pitch * 0.985, pitch * 1.015))
    whistle = wavetable(rng, np.array([1.0, 0.3, 0.1]))[turns]
    return panned(whistle * np.maximum(wander(rng, samples, 0.5 / pace, -0.6, 1.4), 0), rng.uniform(-0.6, 0.6))


def voice(rng: Rng, samples: int, pace: float, talks: float = 0.7) -> Wave:
    """One speaker (samples,): vowels on a moving pitch in syllables at about 4 Hz; silent 1 - talks of the time."""
    pitch, throat = rng.choice([115, 205]) * rng.uniform(0.85, 1.2), rng.uniform(0.9, 1.15)
    order = np.arange(1, 40)[:, None]
    peaks = np.array(VOWELS) * throat
    tables = []
    for formants in peaks:
        resonance = np.exp(-0.5 * ((order * pitch - formants) / (90 + 0.08 * formants)) ** 2)
        tables.append(wavetable(rng, (resonance * (1.0, 0.6, 0.35)).sum(1) + 0.01 / order[:, 0]))
    syllables = int(samples / RATE * 5 * pace) + 3
    bounds = np.cumsum(rng.uniform(0.15, 0.32, syllables) / pace)
    time = np.arange(samples, dtype=np.float32) / RATE + np.float32(rng.uniform(0, 0.2))
    index = np.minimum(np.searchsorted(bounds, time), syllables - 1)
    loud = rng.uniform(0.4, 1, syllables) * (
        np.convolve(rng.uniform(size=syllables + 2), np.ones(3) / 3, "valid") < talks
    )
    start = np.concatenate([[0.0], bounds[:-1]])
    within = (time - start[index]) / (bounds - start)[index]
    envelope = (loud[index] * np.maximum(np.sin(np.pi * np.clip(within, 0, 1)), 0) ** 0.7).astype(np.float32)
    turns = phase(wander(rng, samples, 0.3 / pace, pitch * 0.85, pitch * 1.2))
    vowel = rng.integers(len(VOWELS), size=syllables)
    return np.asarray(np.stack(tables)[vowel[index], turns] * envelope, np.float32)


def talk(rng: Rng, samples: int, pace: float, speakers: int) -> Wave:
    """Several speakers, each at a place and distance of their own."""
    out = np.zeros((2, samples), np.float32)
    for _ in range(speakers):
        near = np.float32(rng.uniform(0.3, 1))
        out += near * panned(voice(rng, samples, pace * rng.uniform(0.85, 1.2)), rng.uniform(-0.9, 0.9))
    return out * np.float32(2 / speakers**0.5)


voices, crowd = partial(talk, speakers=2), partial(talk, speakers=6)


def call(rng: Rng, samples: int, pace: float) -> Wave:
    """A loudspeaker announcement: one voice from all sides, with a late echo off the walls."""
    speech = voice(rng, samples, pace * 0.9, talks=0.85)
    echo = np.zeros_like(speech)
    delay = min(round(rng.uniform(0.08, 0.15) * RATE), samples)
    echo[delay:] = speech[: samples - delay]
    return np.stack([speech + np.float32(0.5) * echo, np.float32(0.5) * speech + echo]) * np.float32(1.5)


def steps(rng: Rng, samples: int, pace: float) -> Wave:
    """Three people walking, each with shoes, tempo and place of their own."""
    out = np.zeros((2, samples), np.float32)
    for _ in range(3):
        shoe = noise(rng, RATE // 12, 0.3, rng.uniform(200, 500), rng.uniform(1500, 5000))[0]
        shoe *= np.exp(-np.arange(shoe.size) / (RATE * rng.uniform(0.006, 0.012))).astype(np.float32)
        heel = shoe + tone(rng.uniform(120, 220), shoe.size / RATE, 0.02)
        times = beats(rng, samples, rng.uniform(0.48, 0.6) / pace, 0.03)
        out += repeat(samples, times, rng.uniform(-0.8, 0.8), heel)
    return out


def birds(rng: Rng, samples: int, pace: float) -> Wave:
    """Songs of two to six quick notes between 2 and 7 kHz."""

    def song() -> Wave:
        pitch, length, count = rng.uniform(2300, 5000), rng.uniform(0.05, 0.12), rng.integers(2, 7)
        low, high = pitch * rng.uniform(0.7, 1.4, 2)
        glides = [np.geomspace(*ends, round(length * RATE)) for ends in ((low, high), (high, low))]
        notes = [tone(glide, length, 0.08) for glide in glides]
        return sequence([(k * length * 1.5, notes[k % 2]) for k in range(count)]) * np.float32(rng.uniform(0.3, 1))

    starts = moments(rng, samples, 2.0 * pace, before=0.5)
    return scatter(samples, starts, lambda: rng.uniform(-0.9, 0.9), song)


def wind(rng: Rng, samples: int, pace: float) -> Wave:
    """Gusts at the microphone and rustling leaves."""
    gust = wander(rng, samples, 0.5 / pace, 0.2, 1.3)
    leaves = noise(rng, samples, 0.0, 1500, 9000)
    return (noise(rng, samples, 2.0, 20, 300) + np.float32(0.08) * leaves) * gust


def air(rng: Rng, samples: int, pace: float) -> Wave:
    """Ventilation: steady pink noise with a fan's hum."""
    fan = wavetable(rng, rng.uniform(0.2, 1, 4) ** 2)[phase(np.full(samples, rng.uniform(80, 130) * pace, np.float32))]
    return noise(rng, samples, 1.3, 50, rng.uniform(1500, 5000)) + np.float32(0.3) * fan


def whine(rng: Rng, samples: int, pace: float) -> Wave:
    """An electric drive: a few high harmonics that glide with the speed."""
    start, end = rng.uniform(350, 900, 2) * pace
    sweep = np.geomspace(start, end, samples).astype(np.float32)
    return panned(wavetable(rng, rng.uniform(0.1, 1, 6) ** 2)[phase(sweep)], rng.uniform(-0.3, 0.3))


def chimes(rng: Rng, samples: int, pace: float) -> Wave:
    """Gongs of two or three falling notes."""

    def gong() -> Wave:
        pitch, gap = rng.uniform(500, 950), rng.uniform(0.22, 0.35)
        falling = (1.0, 0.8, 0.667)[: rng.integers(2, 4)]
        strike = [tone(pitch * r, 0.9, 0.25) + np.float32(0.3) * tone(pitch * r * 2, 0.9, 0.15) for r in falling]
        return sequence([(k * gap, note) for k, note in enumerate(strike)])

    starts = beats(rng, samples, rng.uniform(0.9, 1.3) / pace, 0.1)
    return scatter(samples, starts, lambda: rng.uniform(-0.5, 0.5), gong)


def beeps(rng: Rng, samples: int, pace: float) -> Wave:
    """The doors' warning: short equal beeps."""
    pitch, gap = rng.uniform(1100, 2000), rng.uniform(0.15, 0.25)
    row = sequence([(k * gap, tone(pitch, 0.1, 0.5)) for k in range(4)])
    return repeat(samples, moments(rng, samples, 0.3 * pace, 0.5), rng.uniform(-0.6, 0.6), row)


def music(rng: Rng, samples: int, pace: float) -> Wave:
    """A shop's music: plucked notes of one chord, in tempo."""
    root = rng.uniform(180, 260)
    chord = [tone(root * ratio, 0.5, 0.2) for ratio in (1, 1.25, 1.5, 2, 2.5, 3, 4)]
    starts = beats(rng, samples, rng.uniform(0.2, 0.28) / pace, 0.0)
    return scatter(samples, starts, lambda: rng.uniform(-0.3, 0.3), lambda: chord[rng.integers(len(chord))])


@dataclass(frozen=True)
class Layer:
    """One layer of an ambience."""

    source: Callable[[Rng, int, float], Wave]
    level: float  # mean level in dB; each clip moves it by 1.5 dB (standard deviation)
    cue: str = ""  # cue of the recipe that acts on this layer; none if empty
    lift: float = 0.0  # dB added per unit of the cue
    quicken: float = 0.0  # octaves by which the pace rises per unit of the cue


AMBIENCES: dict[str, tuple[Layer, ...]] = {
    "engine": (
        Layer(motor, 0.0),
        Layer(road, -5.0),
        Layer(passing, -3.0, "flow", lift=7.0),
        Layer(voices, -16.0, "company", lift=7.0),
        Layer(beeps, -18.0, "company", quicken=1.0),
    ),
    "rail": (
        Layer(rolling, -2.0),
        Layer(joints, 6.0, "tempo", lift=3.0, quicken=0.5),
        Layer(squeal, -14.0),
        Layer(steps, -2.0, "bustle", lift=7.0),
        Layer(voices, -16.0, "bustle", lift=7.0),
    ),
    "babble": (
        Layer(crowd, 0.0),
        Layer(air, -16.0),
        Layer(steps, 2.0, "steps", lift=7.0, quicken=0.2),
        Layer(music, -14.0, "music", lift=7.0),
    ),
    "birds": (
        Layer(wind, -6.0),
        Layer(birds, -2.0, "song", lift=4.0, quicken=1.2),
        Layer(voices, -9.0, "company", lift=7.0),
        Layer(steps, -6.0, "company", lift=4.0),
    ),
    "chimes": (
        Layer(air, -5.0),
        Layer(whine, -6.0, "whine", lift=7.0),
        Layer(chimes, 2.0),
        Layer(call, -6.0, "calls", lift=7.0),
    ),
}


def record(recipe: Recipe, city: Rng, location: Rng, clip: Rng, samples: int) -> Wave:
    """The audio of one clip, (2, samples) in (-1, 1), through its location's microphone.

    The generators of city and location start anew for each clip, so that clips of one place share its nuisances.
    """
    cues = draw_cues(recipe.ambience_cues, location, clip)
    mix = np.zeros((2, samples), np.float32)
    for layer in AMBIENCES[recipe.ambience]:
        cue = cues[layer.cue] if layer.cue else 0.0
        level = layer.level + layer.lift * cue + clip.normal(0, 1.5)
        mix += layer.source(clip, samples, 2 ** (layer.quicken * cue)) * np.float32(10 ** (level / 20))
    return microphone(mix, city, location, clip)
