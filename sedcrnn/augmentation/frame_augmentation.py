"""Frames of a training window -> mirrored, cropped, recoloured, partly erased -> frames; all of a window alike."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor
from torchvision.transforms import v2

from sedcrnn.augmentation import Augmentation
from sedcrnn.augmentation.draws import drawing_from
from sedcrnn.errors import ConfigError

_PROBABILITIES = ("flip", "erase")
_RANGES = {
    **dict.fromkeys(_PROBABILITIES, (0, 1, "It is a probability, from 0 to 1")),
    "crop": (0.01, 1, "It is the least share of the area that is kept, from 0.01 to 1"),
    "crop_ratio": (1, 10, "It is the largest ratio of a crop's sides, from 1 to 10"),
    "hue": (0, 0.5, "It is a share of the colour circle, from 0 to 0.5"),
    "rand_augment_magnitude": (0, 30, "It is a whole number from 0 to 30"),
}
_OFF = {"crop": 1, "crop_ratio": 1}


@dataclass(frozen=True, kw_only=True)
class FrameAugmentation(Augmentation):
    """Random changes of a window's frames by torchvision's transforms, each drawn once for the whole window;
    everything is off by default.

    Args:
        flip: probability that the picture is mirrored. The sound is not: left and right then disagree with it.
        crop: the least share of the area that a random crop keeps; it is resized to the frames' size. 1: no crop.
        crop_ratio: the most by which a crop's width to height may differ from 1, as a factor either way; without a
            crop it has no effect.
        brightness: the most by which it changes, as a share; the next two likewise.
        contrast: see brightness.
        saturation: see brightness.
        hue: the most by which hues turn, as a share of the colour circle.
        rand_augment: number of operations of RandAugment (Cubuk et al. 2020, 1909.13719).
        rand_augment_magnitude: their strength.
        erase: probability that a random rectangle, 2 % to 33 % of the area, turns black (Zhong et al. 2020,
            1708.04896).

    Raises:
        ConfigError: a value out of its range.
    """

    flip: float = 0.0
    crop: float = 1.0
    crop_ratio: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    rand_augment: int = 0
    rand_augment_magnitude: int = 9
    erase: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            low, high, allowed = _RANGES.get(name, (0, float("inf"), "It is 0 or more"))
            if not low <= value <= high:
                raise ConfigError(
                    f"recipe.augmentation.frames.{name}={value}",
                    allowed,
                    f"Set recipe.augmentation.frames.{name}={_OFF.get(name, 0)} to leave it off",
                )

    @property
    def active(self) -> bool:
        """Whether anything is on."""
        colour = self.brightness or self.contrast or self.saturation or self.hue
        return bool(self.flip or self.crop < 1 or colour or self.rand_augment or self.erase)

    def __call__(self, frames: Tensor, draw: int, /) -> Tensor:
        """Change one window.

        Args:
            frames: (time, channel=3, height, width) uint8, RGB.
            draw: any integer; the same one makes the same changes.

        Returns:
            The same shape and type; all frames are changed alike.
        """
        # Not the number itself, from which the spectrogram's changes are drawn: the two are to be independent.
        with drawing_from(draw + 1):
            # torchvision draws once per call, and takes leading dimensions for one picture's.
            if self.crop < 1:
                size, ratio = list(frames.shape[-2:]), (1 / self.crop_ratio, self.crop_ratio)
                frames = v2.RandomResizedCrop(size, (self.crop, 1.0), ratio)(frames)
            for transform in self._transforms:
                frames = transform(frames)
        return frames

    @cached_property
    def _transforms(self) -> list[Callable[[Tensor], Tensor]]:
        chosen: list[Callable[[Tensor], Tensor]] = []
        if self.flip:
            chosen.append(v2.RandomHorizontalFlip(self.flip))
        if self.rand_augment:
            chosen.append(v2.RandAugment(self.rand_augment, self.rand_augment_magnitude))
        chosen.append(v2.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue))
        if self.erase:
            chosen.append(v2.RandomErasing(self.erase))
        return chosen
