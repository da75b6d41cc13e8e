"""What a data set is made of: clips, some seconds (TAU: ten) of one scene at one location, with audio and video."""

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sedcrnn.errors import DataError

NO_SCENE = "no scene"  # what a clip of a multi-label data set is called that has none
UNLABELLED = ""  # scene of a clip whose scene is not known: it may be predicted, and is in no manifest

# fmt: off
TAU_SCENES: tuple[str, ...] = (
    "airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall", "street_pedestrian",
    "street_traffic", "tram",
)

# Files in folders are taken for media by these; a file that is named by itself may have any name.
AUDIO_SUFFIXES = (
    ".aac", ".ac3", ".aif", ".aiff", ".amr", ".au", ".caf", ".flac", ".m4a", ".m4b", ".mka", ".mp2", ".mp3", ".oga",
    ".ogg", ".opus", ".w64", ".wav", ".wma",
)
VIDEO_SUFFIXES = (
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts",
    ".webm", ".wmv",
)
# fmt: on
MEDIA_SUFFIXES = (*AUDIO_SUFFIXES, *VIDEO_SUFFIXES)


@dataclass(frozen=True)
class Clip:
    """One recording of one scene, or of any number of them. Its location may be any group of clips: folds never share
    one."""

    id: str  # unique in its data set: airport-lisbon-1000-40000
    audio: Path  # file with the audio
    video: Path  # file with the video; may be the same file
    scene: str  # one of the data set's scenes, or UNLABELLED, as where it has `labels`
    city: str  # empty where it is not known
    location: str  # unique over cities: lisbon-1000
    fold: str  # train or test, as the data set's own lists say
    labels: tuple[str, ...] | None = None  # in a multi-label data set: all its scenes, sorted; none to all

    @property
    def scenes(self) -> tuple[str, ...]:
        """Its scene, or all of them."""
        return (self.scene,) if self.labels is None else self.labels

    @property
    def label(self) -> str:
        """Its scenes in words."""
        return " + ".join(self.scenes) or NO_SCENE


@dataclass(frozen=True)
class Manifest:
    """All clips of a data set, with its scenes in label order: a scene's position is its class index everywhere.

    Raises:
        DataError: no clips, two clips with one id, a label that is not among the scenes, or clips of one scene beside
            those of any number.
    """

    name: str
    scenes: tuple[str, ...]
    clips: tuple[Clip, ...]

    def __post_init__(self) -> None:
        if not self.clips:
            raise DataError(
                f"The data set '{self.name}' lists no clips",
                "At least one clip per scene is needed",
                "Check data.root, and the data set's lists where it has any",
            )
        ids = Counter(clip.id for clip in self.clips)
        if len({clip.labels is None for clip in self.clips}) > 1:
            raise DataError(
                f"Of the data set '{self.name}', some clips have one scene, and others a list of labels",
                "All clips have one scene each, or all have a list of any length",
                "Give every clip labels, or none",
            )
        for clip in self.clips:
            for scene in (one for one in clip.scenes if one not in self.scenes):
                raise DataError(
                    f"Clip '{clip.id}' of data set '{self.name}' has the label '{scene}'",
                    f"Labels are spelt exactly as in: {', '.join(self.scenes)}",
                    "Correct the label in the data set's lists, or add the scene to data.source.scenes",
                )
            if ids[clip.id] > 1:
                raise DataError(
                    f"The data set '{self.name}' lists the clip '{clip.id}' more than once",
                    "Every clip belongs to one fold, once",
                    "Remove the repeated row from the data set's lists",
                )

    @property
    def multi_label(self) -> bool:
        """Whether a clip may have any number of scenes."""
        return self.clips[0].labels is not None

    def fold(self, name: str) -> tuple[Clip, ...]:
        """The clips of one of the data set's own folds, in order."""
        return tuple(clip for clip in self.clips if clip.fold == name)


class DataSource(ABC):
    """Where the clips of a data set come from. Own sources have this class as their base."""

    def prepare(self) -> None:  # noqa: B027 - most sources have nothing to write
        """Write what has to be there before the manifest."""

    @abstractmethod
    def manifest(self) -> Manifest:
        """The clips of the data set; a DataError where it is not there, or cannot be used as it is."""


def check_root(root: Path, layout: str) -> None:
    """Refuse a folder of a data set that does not exist, with a DataError that says what it holds."""
    if not root.is_dir():
        raise DataError(f"The folder of the data set does not exist: {root}", layout, "Set data.root=<folder>")
