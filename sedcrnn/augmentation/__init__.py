"""Values of a training window -> randomly changed values; what mixes or drops whole examples (`batch_augmentation`) is
part of the training step."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sedcrnn.features.feature import Feature

Draws = NDArray[np.uint64]  # (window,) number that everything random about a window follows from


class Augmentation(ABC):
    """A change of one window of a feature, before it is scaled. Own augmentations have this class as their base."""

    @property
    @abstractmethod
    def active(self) -> bool:
        """Whether anything is on."""

    @abstractmethod
    def __call__(self, values: Tensor, draw: int, /) -> Tensor:
        """One window of the feature, changed; the same draw makes the same change."""

    def batch(self, windows: Tensor, draws: Draws) -> Tensor:
        """Several windows (window, ...), each as by itself; overridden where all can be changed at once."""
        return torch.stack([self(one, draw) for one, draw in zip(windows, draws.tolist(), strict=True)])

    def check(self, feature: Feature) -> None:  # noqa: B027 - most fit any feature
        """Refuse what does not fit the feature, or would have no effect on it.

        Raises:
            ConfigError: naming both.
        """


@contextmanager
def drawing_from(number: int) -> Iterator[None]:
    """Random draws that depend on a number alone: borrows torch's global generator, from which torchaudio and
    torchvision draw, and gives it back as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(number % (1 << 63))  # seeds have 64 bits and a sign
        yield


def uniform(draws: Draws, numbers: int) -> NDArray[np.float32]:
    """(window, number) random numbers in [0, 1), each row from its draw alone."""
    rows = [hashlib.shake_128(draw.tobytes()).digest(4 * numbers) for draw in draws]
    bits = np.frombuffer(b"".join(rows), np.uint32).reshape(len(draws), numbers)
    return (bits >> 8).astype(np.float32) / np.float32(1 << 24)
