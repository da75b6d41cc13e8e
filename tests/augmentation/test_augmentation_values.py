"""What a config says of an augmentation is checked before torch is loaded."""

import pytest
from pydantic import TypeAdapter, ValidationError

import sedcrnn.config.data_nodes  # noqa: F401 - what nodes may hold
from sedcrnn.config.values import AugmentationNode

SPECTROGRAM = "sedcrnn.augmentation.spectrogram_augmentation.SpectrogramAugmentation"
FRAMES = "sedcrnn.augmentation.frame_augmentation.FrameAugmentation"


@pytest.mark.parametrize(
    ("target", "key", "value", "words"),
    [
        (SPECTROGRAM, "swap", 1.5, "less than or equal to 1"),
        (SPECTROGRAM, "gain", -1.0, "greater than or equal to 0"),
        (SPECTROGRAM, "band_masks", -2, "greater than or equal to 0"),
        (FRAMES, "flip", 1.5, "less than or equal to 1"),
        (FRAMES, "crop", 0.0, "greater than or equal to 0.01"),
        (FRAMES, "crop_ratio", 0.5, "greater than or equal to 1"),
        (FRAMES, "hue", 0.6, "less than or equal to 0.5"),
        (FRAMES, "brightness", -1.0, "greater than or equal to 0"),
        (FRAMES, "rand_augment_magnitude", 31, "less than or equal to 30"),
    ],
)
def test_values_out_of_range_are_refused(target: str, key: str, value: float, words: str) -> None:
    with pytest.raises(ValidationError, match=rf"{key}\n.*{words}"):
        TypeAdapter(AugmentationNode).validate_python({"_target_": target, key: value})
