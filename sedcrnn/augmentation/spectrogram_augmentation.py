"""Decibels of a training window -> other gains, swapped ears, masked bands and columns -> decibels."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchaudio.functional import mask_along_axis

from sedcrnn.augmentation import Augmentation
from sedcrnn.augmentation.draws import drawing_from
from sedcrnn.errors import ConfigError
from sedcrnn.features.channels import ChannelLayout
from sedcrnn.features.spectrogram import FLAT


@dataclass(frozen=True, kw_only=True)
class SpectrogramAugmentation(Augmentation):
    """Random changes of a window's spectrogram, before it is scaled; everything is off by default.

    Args:
        gain: the most decibels by which a channel is raised or lowered, each by itself and uniformly drawn. (A gain
            of all channels alike would have no effect: the scaling of the window takes it out again.)
        swap: probability that left and right change places; their difference stays as it is.
        band_masks: number of masks over bands (SpecAugment, Park et al. 2019, 1904.08779).
        band_mask_width: the most bands under a mask; uniformly drawn, from none.
        column_masks: number of masks over columns.
        column_mask_width: the most columns under a mask; uniformly drawn, from none.

    Masked places get the mean of the window; all channels have the same masks.

    Raises:
        ConfigError: a value out of its range.
    """

    gain: float = 0.0
    swap: float = 0.0
    band_masks: int = 0
    band_mask_width: int = 8
    column_masks: int = 0
    column_mask_width: int = 10

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            high = 1 if name == "swap" else float("inf")
            if not 0 <= value <= high:
                raise ConfigError(
                    f"recipe.augmentation.spectrogram.{name}={value}",
                    "It is a probability, from 0 to 1" if name == "swap" else "It is 0 or more",
                    f"Set recipe.augmentation.spectrogram.{name}=0 to leave it off",
                )

    @property
    def active(self) -> bool:
        """Whether anything is on."""
        return bool(self.gain or self.swap or self.band_masks or self.column_masks)

    def check(self, layout: ChannelLayout, bands: int, columns: int) -> None:
        """Refuse what would have no effect on, or not fit, spectrograms of these channels and this size.

        Raises:
            ConfigError: naming both.
        """
        if self.swap and layout.names[:2] != ("left", "right"):
            raise ConfigError(
                f"recipe.augmentation.spectrogram.swap={self.swap} swaps left and right",
                f"The channels of the spectrogram are {' and '.join(layout.names)}, which do not change with them",
                "Set recipe.augmentation.spectrogram.swap=0, or choose other features.spectrogram.channels",
            )
        for what, width, size in (
            ("band", self.band_mask_width if self.band_masks else 0, bands),
            ("column", self.column_mask_width if self.column_masks else 0, columns),
        ):
            if width > size:
                raise ConfigError(
                    f"recipe.augmentation.spectrogram.{what}_mask_width={width}",
                    f"A window has {size} {what}s",
                    f"Choose a smaller {what}_mask_width",
                )

    def __call__(self, decibels: Tensor, draw: int, /) -> Tensor:
        """Change one window.

        Args:
            decibels: (channel, band, column) float32.
            draw: any integer; the same one makes the same changes.

        Returns:
            The same shape; a tensor of its own where anything is changed.
        """
        with drawing_from(draw):
            if self.gain:
                decibels = self._amplified(decibels)
            if self.swap and float(torch.rand(())) < self.swap:
                decibels = decibels[[1, 0, *range(2, len(decibels))]]
            fill = float(decibels.mean())
            for _ in range(self.band_masks):
                decibels = mask_along_axis(decibels, self.band_mask_width, fill, axis=1)
            for _ in range(self.column_masks):
                decibels = mask_along_axis(decibels, self.column_mask_width, fill, axis=2)
        return decibels

    def _amplified(self, decibels: Tensor) -> Tensor:
        gains = torch.empty(len(decibels), 1, 1).uniform_(-self.gain, self.gain)
        span = decibels.amax((1, 2), keepdim=True) - decibels.amin((1, 2), keepdim=True)
        return decibels + gains * (span > FLAT)  # a silent channel stays silent
