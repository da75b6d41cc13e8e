"""Decibels of a training window -> other gains, swapped sides, masked bands and columns -> decibels."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchaudio.functional import mask_along_axis

from sedcrnn.augmentation import Augmentation, drawing_from
from sedcrnn.errors import ConfigError
from sedcrnn.features.feature import STEPS_PER_SECOND, Feature
from sedcrnn.features.spectrogram import FLAT, Spectrogram


@dataclass(frozen=True, kw_only=True)
class SpectrogramAugmentation(Augmentation):
    """Random changes of a window's spectrogram, before it is scaled; everything is off by default
    (`SpectrogramAugmentationKeys` describes each).

    A gain of all channels alike would have no effect, because the scaling of the window takes it out again, so each has
    its own. Masks (SpecAugment, Park et al. 2019, 1904.08779) are the same in all channels and hold the window's mean.
    """

    gain: float = 0.0
    swap: float = 0.0  # the difference of left and right stays as it is
    band_masks: int = 0
    band_mask_width: int = 8  # uniformly drawn, from none
    column_masks: int = 0
    column_mask_width: int = 10  # likewise

    @property
    def active(self) -> bool:
        """Whether anything is on."""
        return bool(self.gain or self.swap or self.band_masks or self.column_masks)

    def check(self, feature: Feature) -> None:
        """Refuse a swap of channels that are not left and right, and masks that are wider than a window."""
        if not isinstance(feature, Spectrogram):
            return
        names, columns = feature.layout.names, STEPS_PER_SECOND * feature.per_step
        if self.swap and names[:2] != ("left", "right"):
            raise ConfigError(
                f"recipe.augmentation.spectrogram.swap={self.swap} swaps left and right",
                f"The channels of the spectrogram are {' and '.join(names)}, which do not change with them",
                "Set recipe.augmentation.spectrogram.swap=0, or choose other features.spectrogram.channels",
            )
        for what, masks, width, size in (
            ("band", self.band_masks, self.band_mask_width, feature.bank.bands),
            ("column", self.column_masks, self.column_mask_width, columns),
        ):
            if masks and width > size:
                raise ConfigError(
                    f"recipe.augmentation.spectrogram.{what}_mask_width={width}",
                    f"A window has {size} {what}s",
                    f"Choose a smaller {what}_mask_width",
                )

    def __call__(self, decibels: Tensor, draw: int, /) -> Tensor:
        """Change one window (channel, band, column) float32; a draw always makes the same changes."""
        with drawing_from(draw):
            if self.gain:
                gains = torch.empty(len(decibels), 1, 1).uniform_(-self.gain, self.gain)
                span = decibels.amax((1, 2), keepdim=True) - decibels.amin((1, 2), keepdim=True)
                decibels = decibels + gains * (span > FLAT)  # a silent channel stays silent
            if self.swap and float(torch.rand(())) < self.swap:
                decibels = decibels[[1, 0, *range(2, len(decibels))]]
            fill = float(decibels.mean())
            for _ in range(self.band_masks):
                decibels = mask_along_axis(decibels, self.band_mask_width, fill, axis=1)
            for _ in range(self.column_masks):
                decibels = mask_along_axis(decibels, self.column_mask_width, fill, axis=2)
        return decibels
