"""Values of a training window -> randomly changed values, of sound (`spectrogram`) and of picture (`frames`).

Mixup, which the paper uses, mixes whole batches: it is part of the training step (`modules.mixup`).
"""

from sedcrnn.augmentation.frames import FrameAugmentation
from sedcrnn.augmentation.spectrogram import SpectrogramAugmentation

Augmentation = FrameAugmentation | SpectrogramAugmentation

__all__ = ["Augmentation", "FrameAugmentation", "SpectrogramAugmentation"]
