"""Frames of a training window -> mirrored, cropped, recoloured, partly erased -> frames; all of a window alike."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor
from torchvision.transforms import v2

from sedcrnn.augmentation import Augmentation, drawing_from


@dataclass(frozen=True, kw_only=True)
class FrameAugmentation(Augmentation):
    """Random changes of a window's frames by torchvision's transforms, each drawn once for the whole window;
    everything is off by default (`FrameAugmentationKeys` describes each)."""

    flip: float = 0.0  # the audio is not: its left and right then disagree with the frames
    crop: float = 1.0
    crop_ratio: float = 1.0  # either way
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    rand_augment: int = 0  # Cubuk et al. 2020, 1909.13719
    rand_augment_magnitude: int = 9
    erase: float = 0.0  # 2 % to 33 % of the area; Zhong et al. 2020, 1708.04896

    @property
    def active(self) -> bool:
        """Whether anything is on."""
        colour = self.brightness or self.contrast or self.saturation or self.hue
        return bool(self.flip or self.crop < 1 or colour or self.rand_augment or self.erase)

    def __call__(self, frames: Tensor, draw: int, /) -> Tensor:
        """Change one window (time, channel=3, height, width) uint8, RGB; all frames alike, and a draw always alike."""
        with drawing_from(draw + 1):  # not the number itself, of which a spectrogram's changes may make a seed, too
            # torchvision draws once per call, and takes leading dimensions for one image's.
            if self.crop < 1:
                size, ratio = list(frames.shape[-2:]), (1 / self.crop_ratio, self.crop_ratio)
                frames = v2.RandomResizedCrop(size, (self.crop, 1.0), ratio)(frames)
            for transform in self._transforms:
                frames = transform(frames)
        return frames

    @cached_property
    def _transforms(self) -> list[v2.Transform]:
        transforms = (
            (self.flip, v2.RandomHorizontalFlip(self.flip)),
            (self.rand_augment, v2.RandAugment(self.rand_augment, self.rand_augment_magnitude)),
            (True, v2.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue)),
            (self.erase, v2.RandomErasing(self.erase)),
        )
        return [transform for active, transform in transforms if active]
