"""What data sources and augmentations take: types, ranges and a sentence for each key, as in `config.nodes`."""

from typing import Annotated

from pydantic import Field, Strict
from typing_extensions import TypedDict

from sedcrnn.config.values import (
    CountOrNone,
    Fraction,
    Name,
    NotNegative,
    PathName,
    Seed,
    Separator,
    Share,
    Thousand,
    Workers,
    takes,
)

# Data sources


@takes("data_source", "sedcrnn.datasets.tau2021.Tau2021")
class Tau2021Keys(TypedDict, total=False):
    """TAU Urban Audio-Visual Scenes 2021."""

    root: Annotated[PathName, "Folder of the data set."]


@takes("data_source", "sedcrnn.datasets.folder.Folder")
class FolderKeys(TypedDict, total=False):
    """Own recordings in class folders."""

    root: Annotated[PathName, "Folder of the recordings."]
    scenes: Annotated[list[Name] | None, "Label order; null: sorted."]
    test_fraction: Annotated[Fraction, "Share of each scene's clips that a drawn test fold gets."]
    test_seed: Annotated[Seed, "Seed of that draw; every training seed is tested on the same clips."]


@takes("data_source", "sedcrnn.datasets.manifest.ManifestFile")
class ManifestKeys(FolderKeys, total=False):
    """Own recordings as a table lists them."""

    manifest: Annotated[PathName, "The table: csv, tsv or parquet; in the root, or an absolute path."]
    video_column: Annotated[Name | None, "Column with the file of the video; its audio too, where no column has that."]
    audio_column: Annotated[Name | None, "Column with the file of the audio."]
    label_column: Annotated[Name | None, "Column with the scene."]
    label_separator: Annotated[
        Separator | None, "What stands between the labels of a clip, where it has any number; null: each has one scene."
    ]
    group_column: Annotated[Name | None, "Column of clips that no two folds may share; without one, a clip is its own."]
    fold_column: Annotated[Name | None, "Column with train or test; without it the test fold is drawn by group."]


@takes("data_source", "sedcrnn.datasets.synthetic.Synthetic")
class SyntheticKeys(TypedDict, total=False):
    """Rendered scenes in the layout of TAU."""

    root: Annotated[PathName, "Folder of the rendered set."]
    seed: Annotated[Seed, "Seed of every draw of the rendering."]
    cities: Annotated[int, Strict(), Field(ge=1, le=10), "Cities over which the locations are spread."]
    locations: Annotated[Thousand, "Locations per scene in the training fold."]
    test_locations: Annotated[Thousand, "Locations per scene in the test fold."]
    segments: Annotated[Thousand, "Clips per location."]
    clip_seconds: Annotated[float, Strict(), Field(ge=1, le=3600), "Length of a clip in seconds."]
    height: Annotated[int, Strict(), Field(ge=32, le=4096, multiple_of=2), "Height of the video in pixels."]
    width: Annotated[int, Strict(), Field(ge=32, le=4096, multiple_of=2), "Width of the video in pixels."]
    frame_rate: Annotated[Thousand, "Frames per second of the video."]
    workers: Annotated[Workers, "Processes that render."]


# Augmentation


@takes("augmentation", "sedcrnn.augmentation.spectrogram_augmentation.SpectrogramAugmentation")
class SpectrogramAugmentationKeys(TypedDict, total=False):
    """Random changes of a window's spectrogram, before it is scaled."""

    gain: Annotated[NotNegative, "Most decibels by which each channel is raised or lowered."]
    swap: Annotated[Share, "Probability that left and right change places."]
    band_masks: Annotated[CountOrNone, "Number of masks over bands, as in SpecAugment."]
    band_mask_width: Annotated[CountOrNone, "Most bands under a mask."]
    column_masks: Annotated[CountOrNone, "Number of masks over columns."]
    column_mask_width: Annotated[CountOrNone, "Most columns under a mask."]


@takes("augmentation", "sedcrnn.augmentation.frame_augmentation.FrameAugmentation")
class FrameAugmentationKeys(TypedDict, total=False):
    """Random changes of a window's frames, one draw for all of them."""

    flip: Annotated[Share, "Probability that the frames are mirrored; the audio's left and right stay as they are."]
    crop: Annotated[float, Strict(), Field(ge=0.01, le=1), "Least share of the area that a random crop keeps; 1: off."]
    crop_ratio: Annotated[
        float, Strict(), Field(ge=1, le=10), "Most that a crop's width to height differs from 1, as a factor."
    ]
    brightness: Annotated[NotNegative, "Share by which brightness changes, at most."]
    contrast: Annotated[NotNegative, "Share by which contrast changes, at most."]
    saturation: Annotated[NotNegative, "Share by which saturation changes, at most."]
    hue: Annotated[float, Strict(), Field(ge=0, le=0.5), "Turn of the hues, at most, as a share of the colour circle."]
    rand_augment: Annotated[CountOrNone, "Number of operations of RandAugment."]
    rand_augment_magnitude: Annotated[int, Strict(), Field(ge=0, le=30), "Strength of RandAugment's operations."]
    erase: Annotated[Share, "Probability that a random rectangle turns black."]
