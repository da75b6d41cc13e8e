"""Decibels of a training window -> other gains, swapped sides, masked bands and columns -> decibels."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sedcrnn.augmentation import Augmentation, Draws, uniform
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
        return self.batch(decibels[None], np.array([draw], np.uint64))[0]

    def batch(self, windows: Tensor, draws: Draws) -> Tensor:
        """Change windows (window, channel, band, column) float32, on any device and without waiting for it."""
        channels, bands, columns = windows.shape[1:]
        masks = [
            *((bands, self.band_mask_width, (-1, 1, bands, 1)) for _ in range(self.band_masks)),
            *((columns, self.column_mask_width, (-1, 1, 1, columns)) for _ in range(self.column_masks)),
        ]
        numbers = torch.from_numpy(uniform(draws, channels + 1 + 2 * len(masks)))
        numbers = numbers.to(windows.device, non_blocking=True)[..., None, None]
        gains, swapped, drawn = numbers[:, :channels], numbers[:, [channels]] < self.swap, numbers[:, channels + 1 :, 0]
        if self.gain:
            span = windows.amax((2, 3), keepdim=True) - windows.amin((2, 3), keepdim=True)
            windows = windows + self.gain * (2 * gains - 1) * (span > FLAT)  # a silent channel stays silent
        if self.swap:
            windows = torch.where(swapped, windows[:, [1, 0, *range(2, channels)]], windows)
        mean = windows.mean((1, 2, 3), keepdim=True) if masks else windows
        for number, (size, width, shape) in enumerate(masks):
            length = drawn[:, 2 * number] * width
            start = (drawn[:, 2 * number + 1] * (size - length)).floor()
            places = torch.arange(size, device=windows.device)
            masked = (places >= start) & (places < start + length.floor())
            windows = torch.where(masked.view(shape), mean, windows)
        return windows
