"""Clip -> one of its files -> array -> network input: what every feature of a clip can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from numpy.typing import NDArray

from sedcrnn.datasets.clips import Clip
from sedcrnn.errors import ClipError, MissingTrackError

if TYPE_CHECKING:  # processes that only make features need not load torch
    import torch
    from torch import Tensor

STEPS_PER_SECOND = 5
"""Audio and video meet on this grid: one step is one video frame and, in the paper, ten columns of the spectrogram
(docs/paper.md)."""

Values = NDArray[Any]
Change = Callable[["Tensor"], "Tensor"]


def unchanged(values: Tensor) -> Tensor:
    """The values themselves."""
    return values


class Stored(Protocol):
    """What the store needs to know of the values that it keeps."""

    @property
    def name(self) -> str:
        """A short name, with which their folder in the store begins."""

    def parameters(self) -> dict[str, object]:
        """Everything that determines them, as `Feature.parameters`."""


class Feature(ABC):
    """What a network takes of one file of a clip. Own features have this class as their base.

    Values pass through three forms: stored, as `extract` returns them; decoded; and network input. A class that does
    not say otherwise stores the values themselves, and gives them to the network as they are. Files and the store hold
    numpy arrays; `decode` and `network_input` work on tensors, on any device.
    """

    name: ClassVar[str]
    """`spectrogram` or `frames`; also the beginning of its folder in the store."""

    track: ClassVar[Literal["audio", "video"]]
    """Which of the clip's files it is made from."""

    packed: ClassVar[bool] = False
    """Whether the arrays of all clips are small enough to be kept once more in one file, out of which windows are cut
    fastest (`features.pack`); their rows have one shape."""

    @abstractmethod
    def parameters(self) -> dict[str, object]:
        """Everything that determines the values for given file content, as JSON types: the method, an integer
        `version` that is raised whenever the method changes its output, and all arguments."""

    @property
    @abstractmethod
    def per_step(self) -> int:
        """Rows of its array per step."""

    @property
    def stored(self) -> bool:
        """Whether it is kept in the store; frames need not be, where only a frozen encoder's features of them are."""
        return True

    @property
    def coded(self) -> bool:
        """Whether stored rows are files, which `decode_on` reads from the CPU's memory wherever it decodes them."""
        return False

    @property
    def on_device(self) -> bool:
        """Whether windows become network input on the network's device, a batch at a time; or else in the processes
        that load batches, which pays off where that takes long."""
        return True

    @property
    def dimensions(self) -> dict[str, int]:
        """Arguments of a network that the feature decides, such as its number of channels."""
        return {}

    def source(self, clip: Clip) -> Path:
        """The clip's file that the feature is made from."""
        return clip.audio if self.track == "audio" else clip.video

    @abstractmethod
    def extract(self, path: Path) -> Values:
        """Make the feature of one file, as it is stored; time is the first axis.

        Raises:
            ClipError: the file cannot be read or is not what the data set declares.
        """

    def stream(self, path: Path) -> Iterator[Values]:
        """The decoded values of one file in pieces of any lengths, in order; a feature that makes them piece by piece
        needs little memory for a file of any length. Errors as `extract`, when the damage is reached."""
        yield self.decoded(self.extract(path))

    def with_damage(self, policy: str) -> Self:
        """The feature with another policy for damaged files (`damage.Damage`), if it has one."""
        return replace(self, damage=policy) if is_dataclass(self) and hasattr(self, "damage") else self

    def decoded(self, stored: Values) -> Values:
        """Stored rows as `decode` decodes them, on the CPU, as arrays."""
        import torch

        return self.decode(torch.tensor(stored)).numpy()

    def decode(self, stored: Tensor) -> Tensor:
        """Stored rows (row, ...), of one window or of several (window, row, ...), as the values that they stand for."""
        return stored

    def decode_on(self, stored: Tensor, device: torch.device) -> Tensor:
        """A batch of stored windows as decoded ones on the network's device, where they are already unless `coded`."""
        return self.decode(stored)

    def network_input(self, values: Tensor, change: Change = unchanged) -> Tensor:
        """Decoded windows (window, row, ...) as the network takes them, in training, evaluation and prediction alike;
        `change` is what augmentation makes of the windows, which come with the axes of the network's input."""
        return change(values)


def unreadable(path: Path, what: str, kind: type[ClipError] = ClipError) -> ClipError:
    """The error about a file that cannot be used."""
    remedy = "Fetch or convert the file again; where it is one of a data set, data.unreadable=skip leaves it out"
    if kind is MissingTrackError:
        remedy += ", and data.incomplete=use takes what it has"
    return kind(
        f"'{path}' {what}",
        "A clip has whole audio and video that libsndfile or FFmpeg can decode, and lasts at least one second",
        remedy,
    )


def count_steps(seconds: float | Fraction, path: Path, rate: float = STEPS_PER_SECOND) -> int:
    """Length of a clip in steps, to the nearest: TAU's ten seconds are 479,999 to 480,001 samples, and 50 steps.

    Raises:
        ClipError: less than one second, the length of a window; it names the path.
    """
    steps = round(seconds * rate)
    if steps < rate:
        raise unreadable(path, f"lasts {float(seconds):.2f} s")
    return steps
