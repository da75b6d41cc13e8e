"""Waveform in blocks -> filters -> RMS amplitude per band and column: what every bank of filters has in common.

Banks work on a stream, so that an hour of sound needs no more memory than a minute. Whatever the sizes of the blocks,
the columns are the same.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sedcrnn.errors import ConfigError
from sedcrnn.features.channels import ChannelLayout

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FilterBank(ABC):
    """Filters of an analysis, highest band first.

    Args:
        bands: number of filters.
        low_hz: centre frequency of the lowest band, or its lower edge for mel bands.
        high_hz: upper end of the range in Hz; None: half the sample rate.
    """

    bands: int = 64
    low_hz: float = 0.0
    high_hz: float | None = None

    method: ClassVar[str]
    """Name of the method in the store's key."""

    version: ClassVar[int]
    """Raised whenever the method changes its output."""

    not_in_key: ClassVar[tuple[str, ...]] = ()
    """Arguments on which the output does not depend."""

    def parameters(self) -> dict[str, object]:
        """All that determines the output: the method, its version and the arguments."""
        arguments = {name: value for name, value in asdict(self).items() if name not in self.not_in_key}
        return {"method": self.method, "version": self.version, **arguments}

    @abstractmethod
    def centres(self, sample_rate: int) -> Floats:
        """Centre frequencies (band,) in Hz, highest first."""

    @abstractmethod
    def columns(
        self, blocks: Iterable[Floats], sample_rate: int, hop: float, layout: ChannelLayout
    ) -> Iterator[Floats]:
        """Analyse a stream of stereo sound.

        Args:
            blocks: left and right, (2, sample), of any lengths.
            sample_rate: in Hz.
            hop: seconds from one column to the next.
            layout: the channels that are made of left and right.

        Yields:
            RMS amplitude (channel, band, column), highest band first; column t stands for the sound about the time
            (t + 1) * hop, and there are as many columns as windows of two hops lie wholly within the sound.

        Raises:
            ConfigError: arguments that do not fit the sample rate or each other.
        """

    def high_end(self, sample_rate: int) -> float:
        """Upper end of the range in Hz.

        Raises:
            ConfigError: a range that is empty or goes beyond half the sample rate.
        """
        high = sample_rate / 2 if self.high_hz is None else self.high_hz
        if self.bands < 1 or not 0 <= self.low_hz < high <= sample_rate / 2:
            raise ConfigError(
                f"features.spectrogram.bank asks for {self.bands} bands from {self.low_hz:g} to {high:g} Hz",
                f"There is at least one band, and the range lies within 0 and {sample_rate / 2:g} Hz, half of "
                "features.spectrogram.sample_rate",
                "Correct bands, low_hz or high_hz",
            )
        return high


class Counted:
    """A stream of blocks that knows how many samples have come out of it."""

    def __init__(self, blocks: Iterable[Floats]) -> None:
        self.blocks, self.samples = blocks, 0

    def __iter__(self) -> Iterator[Floats]:
        for block in self.blocks:
            self.samples += block.shape[-1]
            yield block


def pieces(blocks: Iterable[Floats], size: int, step: int, lead: int) -> Iterator[Floats]:
    """Cut a stream into overlapping pieces; piece k holds the samples from `k * step - lead` on.

    Args:
        blocks: (channel, sample), of any lengths.
        size: samples per piece.
        step: samples from one piece to the next.
        lead: samples of a piece that come before its own ones.

    Yields:
        (channel, size), zeros where the stream has not begun; shorter where it ends.
    """
    rest: Floats | None = None
    for block in blocks:
        begin = np.zeros((len(block), lead)) if rest is None else rest
        rest = np.concatenate([begin, block], axis=-1)
        while rest.shape[-1] >= size:
            yield rest[:, :size]
            rest = rest[:, step:]
    while rest is not None and rest.shape[-1] > lead:
        yield rest[:, :size]
        rest = rest[:, step:]


def windowed(energies: Iterable[Floats], hops: int) -> Iterator[Floats]:
    """Sums over windows of `hops` neighbouring hops, from a stream of energies (..., hop), as that stream goes."""
    carried: Floats | None = None
    for energy in energies:
        joined = energy if carried is None else np.concatenate([carried, energy], axis=-1)
        if joined.shape[-1] >= hops:
            yield np.lib.stride_tricks.sliding_window_view(joined, hops, axis=-1).sum(-1)
        carried = joined[..., max(0, joined.shape[-1] - hops + 1) :]


def whole(number: float, what: str, unit: str) -> int:
    """A number that has to be whole, at least 1, up to rounding.

    Raises:
        ConfigError: it is not; `what` says what makes it, `unit` what it counts.
    """
    nearest = round(number)
    if nearest < 1 or abs(number - nearest) > 1e-6:
        raise ConfigError(
            f"{what} makes {number:g} {unit}",
            f"It has to make a whole number of {unit}",
            "Choose other values of features.spectrogram.hop, sample_rate or bank.window",
        )
    return nearest


def hop_samples(hop: float, sample_rate: int) -> int:
    """Samples per hop; errors as `whole`."""
    return whole(hop * sample_rate, f"hop={hop} s at {sample_rate} Hz", "samples")
