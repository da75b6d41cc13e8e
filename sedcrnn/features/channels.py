"""Stereo -> the channels of a spectrogram: which sums and differences of left and right it shows."""

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

    @property
    def matrix(self) -> NDArray[np.float64]:
        """`mix` as an array."""
        return np.array(self.mix)


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
