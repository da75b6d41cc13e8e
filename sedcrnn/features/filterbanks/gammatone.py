"""Centre frequencies -> sections of gammatone filters: Slaney's bank, which the two exact implementations share.

The bank is that of M. Slaney (Apple Technical Report 35, 1993), as the authors used it through `gammatone` 1.0.3:
fourth-order gammatone filters on the ERB scale of Glasberg and Moore, each a cascade of four biquads. A column is the
RMS of a filter's output over one window, from the first sample on and without padding.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sedcrnn.errors import ConfigError
from sedcrnn.features.filterbanks import ChannelLayout, FilterBank, Floats, hop_samples, whole

# Glasberg and Moore: quality of the ear's filters at high frequencies, and their bandwidth in Hz towards 0 Hz.
EAR_Q, MIN_BANDWIDTH = 9.26449, 24.7


@dataclass(frozen=True, kw_only=True)
class GammatoneBank(FilterBank):
    """The gammatone spectrogram of the paper, exactly: `gtgram(wave, 44100, 0.04, 0.02, 64, 0)` of `gammatone` 1.0.3;
    a window is a whole number of hops."""

    window: float = 0.04

    def centres(self, sample_rate: int) -> Floats:
        """Centre frequencies (band,) in Hz, evenly spaced on the ERB scale: highest first, `low_hz` last."""
        return centre_frequencies(self.high_end(sample_rate), self.bands, self.low_hz)

    def columns(
        self, blocks: Iterable[Floats], sample_rate: int, hop: float, layout: ChannelLayout
    ) -> Iterator[Floats]:
        """RMS per window; see `FilterBank.columns`."""
        hops = whole(self.window / hop, f"bank.window={self.window} s with hop={hop} s", "hops")
        samples = hop_samples(hop, sample_rate)
        if self.window > 1:
            raise ConfigError(
                f"features.spectrogram.bank.window={self.window}",
                "A window lasts at most a second, the length of the shortest clip",
                "Set features.spectrogram.bank.window=0.04",
            )
        for energy in windowed(self.energies(blocks, sample_rate, samples, layout), hops):
            yield np.sqrt(energy / (hops * samples))

    @abstractmethod
    def energies(
        self, blocks: Iterable[Floats], sample_rate: int, samples: int, layout: ChannelLayout
    ) -> Iterator[Floats]:
        """Energies (channel, band, hop) of the filters' outputs over neighbouring hops of so many samples."""


def windowed(energies: Iterable[Floats], hops: int) -> Iterator[Floats]:
    """Sums over windows of `hops` neighbouring hops, from a stream of energies (..., hop), as that stream goes."""
    carried: Floats | None = None
    for energy in energies:
        joined = energy if carried is None else np.concatenate([carried, energy], axis=-1)
        if joined.shape[-1] >= hops:
            yield np.lib.stride_tricks.sliding_window_view(joined, hops, axis=-1).sum(-1)
        carried = joined[..., max(0, joined.shape[-1] - hops + 1) :]


def centre_frequencies(high_hz: float, bands: int, low_hz: float) -> Floats:
    """Centre frequencies (band,) in Hz, evenly spaced on the ERB scale from just under `high_hz` down to `low_hz`."""
    offset = EAR_Q * MIN_BANDWIDTH
    high = high_hz + offset
    fraction = np.arange(1, bands + 1) / bands
    centres: Floats = high * np.exp(fraction * (np.log(low_hz + offset) - np.log(high))) - offset
    return centres


def bandwidths(centres: Floats) -> Floats:
    """Bandwidths (band,) in Hz, in the sense in which a filter's impulse response decays as exp(-2 pi bandwidth t)."""
    return 1.019 * (centres / EAR_Q + MIN_BANDWIDTH)


class Cascades:
    """Slaney's filters for centre frequencies (band,) in Hz: four second-order sections each, with the same `poles`
    (2, band) and one of the `zeros` (4, band) per section.

    Section k of a band is  y[n] = x[n] + zero[k] x[n-1] + pole[0] y[n-1] + pole[1] y[n-2],  and the whole cascade's
    output is to be multiplied by `gain` (band,), which makes it 1 at the centre frequency.
    """

    def __init__(self, centres: Floats, sample_rate: int) -> None:
        angle = 2 * np.pi * centres / sample_rate
        decay = np.exp(-2 * np.pi * bandwidths(centres) / sample_rate)
        outer, inner = np.sqrt(3 + 2**1.5), np.sqrt(3 - 2**1.5)
        self.zeros = -decay * (np.cos(angle) + np.array([outer, -outer, inner, -inner])[:, None] * np.sin(angle))
        self.poles = np.stack([2 * decay * np.cos(angle), -(decay**2)])
        self.gain: Floats = np.ones_like(centres)
        self.gain = 1 / np.abs(self.response(angle[:, None])[:, 0])

    def response(self, turns: Floats) -> NDArray[np.complex128]:
        """Frequency response (band, frequency), gain included, at frequencies in radians per sample: (frequency,) for
        all bands or (band, frequency)."""
        delay = np.exp(-1j * turns)
        feedback = 1 - self.poles[0][:, None] * delay - self.poles[1][:, None] * delay**2
        response: NDArray[np.complex128] = self.gain[:, None] / feedback**4
        for zero in self.zeros:
            response = response * (1 + zero[:, None] * delay)
        return response
