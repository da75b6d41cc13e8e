"""Clip -> one of its files -> array: what every feature of a clip can do, and how long a clip counts as."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Protocol

from numpy.typing import NDArray

from sedcrnn.datasets.clips import Clip
from sedcrnn.errors import ClipError

STEPS_PER_SECOND = 5
"""Sound and picture meet on this grid: one step is one frame of the picture and, in the paper, ten columns of the
spectrogram (paper.md, Inputs)."""


class Stored(Protocol):
    """What the store needs to know of the values that it keeps."""

    @property
    def name(self) -> str:
        """Short name, also the beginning of its folder in the store: `spectrogram`, `frames`."""
        ...

    def parameters(self) -> dict[str, object]:
        """Everything that determines the values for given file content, as JSON types: the method, an integer
        `version` that is raised whenever the method changes its output, and all arguments."""
        ...


class Feature(ABC):
    """What is made of one file of a clip. Own features have this class as their base."""

    name: ClassVar[str]
    """`spectrogram` or `frames`; also the beginning of its folder in the store."""

    @abstractmethod
    def parameters(self) -> dict[str, object]:
        """Everything that determines the values for given file content; see `Stored`."""

    @property
    @abstractmethod
    def per_step(self) -> int:
        """Rows of its array per step."""

    @property
    def stored(self) -> bool:
        """Whether it is kept in the store; frames need not be, where only a frozen encoder's features of them are."""
        return True

    @abstractmethod
    def source(self, clip: Clip) -> Path:
        """The clip's file that the feature is made from."""

    @abstractmethod
    def extract(self, path: Path) -> NDArray[Any]:
        """Make the feature of one file, as it is stored; time is the first axis.

        Raises:
            ClipError: the file cannot be read or is not what the data set declares.
        """

    @abstractmethod
    def stream(self, path: Path) -> Iterator[NDArray[Any]]:
        """The same in pieces of any lengths, in order, so that a file of any length needs little memory; frames come
        as pixels, whatever is stored of them.

        Raises:
            ClipError: as `extract`, when the damage is reached.
        """

    @abstractmethod
    def decode(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Stored values, with the axes in any order, as the values that they stand for."""


def count_steps(seconds: float | Fraction, path: Path, rate: float = STEPS_PER_SECOND) -> int:
    """Length of a clip in steps, to the nearest: TAU's ten seconds are 479,999 to 480,001 samples, and 50 steps.

    Args:
        seconds: measured length.
        path: the file, for the message.
        rate: steps per second.

    Raises:
        ClipError: less than one second, the length of a window.
    """
    steps = round(seconds * rate)
    if steps < rate:
        raise ClipError(
            f"'{path}' lasts {float(seconds):.2f} s",
            "A clip lasts at least one second",
            "Take a longer one; where it is one of a data set, data.unreadable=skip leaves it out",
        )
    return steps
