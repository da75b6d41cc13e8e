"""Values of a training window -> randomly changed values, of sound (`spectrogram`) and of picture (`frames`).

Mixup, which the paper uses, mixes whole batches: it is part of the training step (`mixup`).
"""

from typing import Protocol

from torch import Tensor

from sedcrnn.augmentation.frames import FrameAugmentation
from sedcrnn.augmentation.spectrogram import SpectrogramAugmentation


class Augmentation(Protocol):
    """A change of one window of a feature, before it is scaled."""

    @property
    def active(self) -> bool:
        """Whether anything is on."""
        ...

    def __call__(self, values: Tensor, draw: int, /) -> Tensor:
        """One window of the feature, changed; the same draw makes the same change."""
        ...


__all__ = ["Augmentation", "FrameAugmentation", "SpectrogramAugmentation"]
