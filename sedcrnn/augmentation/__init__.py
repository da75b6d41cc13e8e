"""Values of a training window -> randomly changed values; what mixes or drops whole examples (`batch_augmentation`) is
part of the training step."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from sedcrnn.features.feature import Feature


class Augmentation(ABC):
    """A change of one window of a feature, before it is scaled. Own augmentations have this class as their base."""

    @property
    @abstractmethod
    def active(self) -> bool:
        """Whether anything is on."""

    @abstractmethod
    def __call__(self, values: Tensor, draw: int, /) -> Tensor:
        """One window of the feature, changed; the same draw makes the same change."""

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
