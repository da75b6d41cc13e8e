"""Which track decided: the exact Shapley values of audio and video.

With two players, each one's value is the mean of what it adds to nothing and of what it adds to the other (Shapley
1953). Values are probabilities and not log-odds: a file's probability is the mean of its seconds', so that the shares
of a file are the means of theirs, and shares are as bounded as what they explain.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def guessed(scenes: int, multi_label: bool) -> float:
    """The probability of every scene to which nothing speaks: 1/2 where each scene is there or not by itself."""
    return 0.5 if multi_label else 1 / scenes


def modality_shares(together: Floats, alone: Mapping[str, Floats], nothing: float) -> dict[str, Floats]:
    """How much each track adds to the probability of a scene above that without any track; the shares sum to `together`
    - `nothing`.

    Args:
        together: (second,) probability with all tracks.
        alone: track -> (second,) probability with that track alone, of one or two tracks.
        nothing: probability without any (`guessed`).
    """
    if len(alone) == 1:
        return dict.fromkeys(alone, together - nothing)
    (first, with_first), (second, with_second) = alone.items()
    return {
        first: ((with_first - nothing) + (together - with_second)) / 2,
        second: ((with_second - nothing) + (together - with_first)) / 2,
    }
