"""Waveform -> gammatone filters as recursions over the samples -> energy per hop: exact, and the fastest on a CPU.

Compiled by numba. The inner loop runs over bands, so that the processor takes several at once; the filtered waveform is
squared where it is made and never stored.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numba
import numpy as np

from sedcrnn.features.filterbanks import ChannelLayout, Floats, mixed
from sedcrnn.features.filterbanks.gammatone import Cascades, GammatoneBank

INAUDIBLE = 1e-100
"""Added to every sample: it changes none but an exact zero, and keeps the filters' states from decaying into denormal
numbers, which would make digital silence after a signal fifty times slower."""

GROUP = 16  # bands that are worked on together


@dataclass(frozen=True, kw_only=True)
class RecursiveGammatone(GammatoneBank):
    """The gammatone bank in float64, equal to the reference to 1e-6 dB."""

    method = "gammatone"
    version = 2

    def energies(
        self, blocks: Iterable[Floats], sample_rate: int, samples: int, layout: ChannelLayout
    ) -> Iterator[Floats]:
        """See `GammatoneBank`."""
        filters = Cascades(self.centres(sample_rate), sample_rate)
        pair = (*layout.mix, (0.0, 0.0))[:2]  # a third channel is the difference of the two that are filtered
        states = np.zeros((16, self.bands))
        rest = np.zeros((2, 0))
        for block in blocks:
            waveform = np.concatenate([rest, mixed(block, pair) + INAUDIBLE], axis=1)
            hops = waveform.shape[1] // samples
            energy = np.empty((3, self.bands, hops))
            filter_hops(waveform[0], waveform[1], filters.zeros, filters.poles, states, samples, energy)
            rest = waveform[:, hops * samples :]
            yield energy[: len(layout.mix)] * filters.gain[:, None] ** 2


# Only contraction (a * b + c rounded once) of all that `fastmath` may do: nothing that changes the filters' order.
@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def filter_hops(
    one: Floats, two: Floats, zeros: Floats, poles: Floats, states: Floats, samples: int, energy: Floats
) -> None:
    """Filter two signals (sample,) of whole hops, and write the energies (3, band, hop) of both outputs and of their
    difference; `states` (16, band), two of each section of each signal, are changed in place.

    Each section is a transposed direct form II. The eight are written out because a loop or a function is slower.
    """
    bands = zeros.shape[1]
    for first in range(0, bands, GROUP):
        width = min(GROUP, bands - first)
        # Rows: 16 states, 4 zeros, 2 poles, 3 energies; one block, which stays in the first-level cache.
        w = np.zeros((25, GROUP))
        w[:16, :width] = states[:, first : first + width]
        w[16:20, :width] = zeros[:, first : first + width]
        w[20:22, :width] = poles[:, first : first + width]
        for hop in range(energy.shape[2]):
            w[22:] = 0.0
            for n in range(hop * samples, (hop + 1) * samples):
                x = one[n]
                u = two[n]
                for b in range(GROUP):
                    x1 = x + w[0, b]
                    w[0, b] = w[16, b] * x + w[20, b] * x1 + w[1, b]
                    w[1, b] = w[21, b] * x1
                    x2 = x1 + w[2, b]
                    w[2, b] = w[17, b] * x1 + w[20, b] * x2 + w[3, b]
                    w[3, b] = w[21, b] * x2
                    x3 = x2 + w[4, b]
                    w[4, b] = w[18, b] * x2 + w[20, b] * x3 + w[5, b]
                    w[5, b] = w[21, b] * x3
                    x4 = x3 + w[6, b]
                    w[6, b] = w[19, b] * x3 + w[20, b] * x4 + w[7, b]
                    w[7, b] = w[21, b] * x4
                    u1 = u + w[8, b]
                    w[8, b] = w[16, b] * u + w[20, b] * u1 + w[9, b]
                    w[9, b] = w[21, b] * u1
                    u2 = u1 + w[10, b]
                    w[10, b] = w[17, b] * u1 + w[20, b] * u2 + w[11, b]
                    w[11, b] = w[21, b] * u2
                    u3 = u2 + w[12, b]
                    w[12, b] = w[18, b] * u2 + w[20, b] * u3 + w[13, b]
                    w[13, b] = w[21, b] * u3
                    u4 = u3 + w[14, b]
                    w[14, b] = w[19, b] * u3 + w[20, b] * u4 + w[15, b]
                    w[15, b] = w[21, b] * u4
                    difference = x4 - u4
                    w[22, b] += x4 * x4
                    w[23, b] += u4 * u4
                    w[24, b] += difference * difference
            energy[:, first : first + width, hop] = w[22:, :width]
        states[:, first : first + width] = w[:16, :width]
