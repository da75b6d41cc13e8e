"""Left and right in blocks -> channels -> filters -> RMS amplitude per band and column: what all banks have in common.

Banks work on a stream, so that an hour of audio needs no more memory than a minute. Whatever the sizes of the blocks,
the columns are the same.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sedcrnn.errors import ConfigError

Floats = NDArray[np.float64]


class ChannelLayout(NamedTuple):
    """Channels made of left and right: their names, and the weights of left and right in each, (channel, 2)."""

    names: tuple[str, ...]
    mix: tuple[tuple[float, float], ...]


_LEFT, _RIGHT, _DIFFERENCE = (1.0, 0.0), (0.0, 1.0), (1.0, -1.0)
_MID, _SIDE = (0.5, 0.5), (0.5, -0.5)

LAYOUTS = {
    "mono": ChannelLayout(("mid",), (_MID,)),
    "left_right": ChannelLayout(("left", "right"), (_LEFT, _RIGHT)),
    # The paper's (docs/paper.md). A third channel is the first less the second in every layout that has one:
    # filters are linear, so it needs no filtering of its own.
    "left_right_difference": ChannelLayout(("left", "right", "difference"), (_LEFT, _RIGHT, _DIFFERENCE)),
    "mid_side": ChannelLayout(("mid", "side"), (_MID, _SIDE)),
}


def mixed(stereo: Floats, mix: Sequence[tuple[float, float]]) -> Floats:
    """Left and right (2, sample) -> (channel, sample), by weights of left and right per channel.

    Not a matrix product: the threads of BLAS go on spinning after it, for longer than all filters take.
    """
    left, right = stereo
    return np.stack([of_left * left + of_right * right for of_left, of_right in mix])


@dataclass(frozen=True, kw_only=True)
class FilterBank(ABC):
    """Filters of an analysis, highest band first; `low_hz` is the lowest centre frequency, or the lower edge for mel,
    and `high_hz` the upper end of the range in Hz (None: half the sample rate)."""

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
        """Analyse a stream of left and right, (2, sample) blocks of any lengths; `hop` is in seconds.

        Yields:
            RMS amplitude (channel, band, column), highest band first; column t stands for the waveform about the time
            (t + 1) * hop, and there are as many columns as windows of two hops lie wholly within the waveform.

        Raises:
            ConfigError: arguments that do not fit the sample rate or each other.
        """

    def high_end(self, sample_rate: int) -> float:
        """Upper end of the range in Hz.

        Raises:
            ConfigError: a range that is empty or goes beyond half the sample rate.
        """
        high = sample_rate / 2 if self.high_hz is None else self.high_hz
        if not 0 <= self.low_hz < high <= sample_rate / 2:
            raise ConfigError(
                f"features.spectrogram.bank asks for {self.bands} bands from {self.low_hz:g} to {high:g} Hz",
                f"The range lies within 0 and {sample_rate / 2:g} Hz, half of features.spectrogram.sample_rate",
                "Correct low_hz or high_hz",
            )
        return high


def pieces(blocks: Iterable[Floats], size: int, step: int, lead: int) -> Iterator[tuple[Floats, int]]:
    """Cut a stream of (2, sample) blocks into overlapping pieces; piece k begins at sample `k * step - lead`.

    Yields:
        (2, size), zeros where the stream has not begun, shorter where it ends; and the length of what has been read.
    """
    rest = np.zeros((2, lead))
    length = 0
    for block in blocks:
        rest = np.concatenate([rest, block], axis=-1)
        length += block.shape[-1]
        while rest.shape[-1] >= size:
            yield rest[:, :size], length
            rest = rest[:, step:]
    while rest.shape[-1] > lead:
        yield rest[:, :size], length
        rest = rest[:, step:]


def whole(number: float, what: str, unit: str) -> int:
    """A number that has to be whole and at least 1, up to rounding.

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
