"""Audio -> a few bits per second that outlast other formats, bit rates and gains -> clips that sound the same.

After Haitsma and Kalker (2002): of every frame and every two neighbouring bands, whether the difference of their levels
has grown. Gains cancel out. Of noise without any structure, the hardest case, coding at 48 to 128 kbit/s changes one
sign in five; of unrelated clips, every second one differs.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sedcrnn.features.audio_file import open_audio

SECONDS = 10  # of each clip, from its beginning
RATE = 16000  # Hz, to about which samples are averaged down
FRAME, HOP, LAG = 0.25, 0.125, 2  # seconds, seconds and frames; encoders delay by far less than a frame
BITS = 16
EDGES = np.geomspace(200, 3600, BITS + 2)  # Hz, of the bands
SILENCE = 1e-8  # power below which there is nothing to compare

LENGTH = int((SECONDS - FRAME) / HOP) + 1 - LAG  # codes of a clip
FEWEST = 13  # codes that two clips share: of two seconds; in less, too many are alike by chance
UNLIKE = 0.25  # share of bits that may differ
DELAY = 4  # frames by which one may begin later
NEIGHBOURS = 30  # with one code that each is compared with, which bounds the work by the number of clips
AT_ONCE = 1 << 17  # pairs

ONES = np.array([code.bit_count() for code in range(1 << BITS)], np.uint8)  # of every code

Codes = NDArray[np.uint16]
Numbers = NDArray[np.int64]


def fingerprint(path: Path) -> Codes:
    """A code of 16 bits for each eighth of a second of the audio of a file; 0 where there is next to nothing.

    Raises:
        ClipError: as `open_audio`.
    """
    held: list[NDArray[np.float64]] = []
    with open_audio(path) as audio:
        factor = max(1, audio.sample_rate // RATE)
        rate = audio.sample_rate / factor
        for block in audio.blocks():
            held.append(block[0] + block[1])
            if sum(map(len, held)) >= SECONDS * audio.sample_rate:
                break
    wave = np.concatenate(held)[: SECONDS * audio.sample_rate]
    wave = wave[: len(wave) // factor * factor]
    averaged = np.zeros(len(wave) // factor)
    for first in range(factor):
        averaged += wave[first::factor]
    return codes(averaged / factor, rate)


def codes(wave: NDArray[np.float64], rate: float) -> Codes:
    """The fingerprint of (sample,) values at a sample rate in Hz."""
    length = round(FRAME * rate)
    starts = np.arange(0, len(wave) - length + 1, HOP * rate).astype(np.int64)
    if len(starts) <= LAG:
        return np.zeros(0, np.uint16)
    frames = wave[starts[:, None] + np.arange(length)] * np.hanning(length)
    power = np.abs(np.fft.rfft(frames)) ** 2 / length
    limits = np.searchsorted(np.fft.rfftfreq(length, 1 / rate), EDGES)
    bands = np.stack([power[:, low:high].sum(1) for low, high in pairwise(limits)], axis=1)
    steps = np.diff(np.log(bands + SILENCE), axis=1)
    signs = steps[LAG:] > steps[:-LAG]
    made: Codes = (signs << np.arange(BITS)).sum(1).astype(np.uint16)
    made[bands[LAG:].max(1) < SILENCE] = 0
    return made


def find_alike(fingerprints: Sequence[Codes]) -> list[tuple[int, int]]:
    """Pairs of fingerprints that are of one recording, sorted; clips are compared where they share a code."""
    padded = np.zeros((len(fingerprints), LENGTH), np.uint16)
    for row, made in zip(padded, fingerprints, strict=True):
        row[: len(made)] = made[:LENGTH]
    found: set[tuple[int, int]] = set()
    for one, other, lead in _candidates(padded):
        alike = _are_alike(padded, one, other, lead)
        found |= set(zip(one[alike].tolist(), other[alike].tolist(), strict=True))
    return sorted(found)


def _candidates(padded: Codes) -> Iterator[tuple[Numbers, Numbers, Numbers]]:
    """Pairs of clips that share a code, in parts: one, a later other, and by how many frames the first is ahead."""
    clip, place = np.nonzero(padded)
    code = padded[clip, place]
    order = np.argsort(code, kind="stable")  # of one code, in the order of clips
    clip, place, code = clip[order], place[order], code[order]
    for distance in range(1, min(NEIGHBOURS, len(code))):
        lead = place[:-distance] - place[distance:]
        shared = (code[:-distance] == code[distance:]) & (np.abs(lead) <= DELAY) & (clip[:-distance] < clip[distance:])
        pairs = np.flatnonzero(shared)
        for start in range(0, len(pairs), AT_ONCE):
            some = pairs[start : start + AT_ONCE]
            yield clip[some], clip[some + distance], lead[some]


def _are_alike(padded: Codes, one: Numbers, other: Numbers, lead: Numbers) -> NDArray[np.bool_]:
    """Of pairs, whether they differ in few bits."""
    alike = np.zeros(len(one), bool)
    for frames in range(-DELAY, DELAY + 1):
        some = np.flatnonzero(lead == frames)
        ahead, behind = max(0, frames), max(0, -frames)
        first, second = (
            padded[clips[some], begin : LENGTH - end]
            for clips, begin, end in ((one, ahead, behind), (other, behind, ahead))
        )
        compared = (first != 0) & (second != 0)
        different = (ONES[first ^ second] * compared).sum(1)
        number = compared.sum(1)
        alike[some] = (number >= FEWEST) & (different < UNLIKE * BITS * number)
    return alike
