"""Stereo -> the channels of a spectrogram: which sums and differences of left and right it shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sedcrnn.errors import ConfigError, nearest


@dataclass(frozen=True)
class ChannelLayout:
    """Channels made of left and right.

    Attributes:
        names: of the channels.
        mix: (channel, 2) weights of left and right in each channel.
    """

    names: tuple[str, ...]
    mix: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        assert len(self.names) == len(self.mix)


def mixed(stereo: NDArray[np.float64], mix: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Left and right (2, sample) -> (channel, sample), by weights of left and right per channel.

    Not a matrix product: the threads of BLAS go on spinning after it, for longer than all filters take.
    """
    left, right = stereo
    return np.stack([of_left * left + of_right * right for of_left, of_right in mix])


SILENT = (0.0, 0.0)
_LEFT, _RIGHT, _DIFFERENCE = (1.0, 0.0), (0.0, 1.0), (1.0, -1.0)
_MID, _SIDE = (0.5, 0.5), (0.5, -0.5)

LAYOUTS = {
    "mono": ChannelLayout(("mid",), (_MID,)),
    "left_right": ChannelLayout(("left", "right"), (_LEFT, _RIGHT)),
    # The paper's (paper.md, Inputs). A third channel is the first less the second in every layout that has one:
    # filters are linear, so it needs no filtering of its own.
    "left_right_difference": ChannelLayout(("left", "right", "difference"), (_LEFT, _RIGHT, _DIFFERENCE)),
    "mid_side": ChannelLayout(("mid", "side"), (_MID, _SIDE)),
}


def channel_layout(name: str) -> ChannelLayout:
    """The layout of this name.

    Raises:
        ConfigError: there is none, with the nearest ones that there are.
    """
    if name not in LAYOUTS:
        raise ConfigError(
            f"features.spectrogram.channels is '{name}'",
            f"It is one of {', '.join(LAYOUTS)}; the nearest is {nearest(name, LAYOUTS)}",
            "Correct the name",
        )
    return LAYOUTS[name]
