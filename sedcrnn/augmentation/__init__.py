"""Values of a training window -> randomly changed values, of the spectrogram and of the frames.

Mixup, which the paper uses, mixes whole batches: it is part of the training step (`mixup`).
"""

from abc import ABC, abstractmethod

from torch import Tensor


class Augmentation(ABC):
    """A change of one window of a feature, before it is scaled. Own augmentations have this class as their base."""

    @property
    @abstractmethod
    def active(self) -> bool:
        """Whether anything is on."""

    @abstractmethod
    def __call__(self, values: Tensor, draw: int, /) -> Tensor:
        """One window of the feature, changed; the same draw makes the same change."""
