"""Manifest -> clip records. A clip is some seconds (TAU: ten) of one scene at one location, with sound and picture."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from sedcrnn.errors import DataError

UNLABELLED = ""
"""Scene of a clip of which nobody has told it. Such a clip may be predicted, and is in no manifest."""

# By which files in folders are taken for media; a file that is named by itself may have any name.
# fmt: off
SOUND_SUFFIXES = (
    ".aac", ".ac3", ".aif", ".aiff", ".amr", ".au", ".caf", ".flac", ".m4a", ".m4b", ".mka", ".mp2", ".mp3", ".oga",
    ".ogg", ".opus", ".w64", ".wav", ".wma",
)
VIDEO_SUFFIXES = (
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts",
    ".webm", ".wmv",
)
# fmt: on
MEDIA_SUFFIXES = (*SOUND_SUFFIXES, *VIDEO_SUFFIXES)


@dataclass(frozen=True)
class Clip:
    """One recording of one scene.

    Attributes:
        id: name, unique in its data set: `airport-lisbon-1000-40000`.
        audio: file with the sound.
        video: file with the picture; may be the same file.
        scene: label; one of the data set's scenes, or `UNLABELLED`.
        city: city of the recording; empty where nothing is known of it.
        location: place of the recording, unique over cities: `lisbon-1000`; or the group of clips that belong
            together in another way. Folds never share a location.
        fold: `train` or `test`, as the data set's own lists say.
    """

    id: str
    audio: Path
    video: Path
    scene: str
    city: str
    location: str
    fold: str


@dataclass(frozen=True)
class Manifest:
    """All clips of a data set, with its scenes in label order.

    Raises:
        DataError: no clips, two clips with one id, or a label that is not among the scenes.
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
        seen: set[str] = set()
        for clip in self.clips:
            if clip.scene not in self.scenes:
                raise DataError(
                    f"Clip '{clip.id}' of data set '{self.name}' has the label '{clip.scene}'",
                    f"Labels are spelt exactly as in: {', '.join(self.scenes)}",
                    "Correct the label in the data set's lists, or add the scene to data.source.scenes",
                )
            if clip.id in seen:
                raise DataError(
                    f"The data set '{self.name}' lists the clip '{clip.id}' more than once",
                    "Every clip belongs to one fold, once",
                    "Remove the repeated row from the data set's lists",
                )
            seen.add(clip.id)

    def fold(self, name: str) -> tuple[Clip, ...]:
        """The clips of one of the data set's own folds, in the order of its list."""
        return tuple(clip for clip in self.clips if clip.fold == name)


class DataSource(ABC):
    """Where the clips of a data set come from. Own sources have this class as their base; a config names them as
    `data.source._target_`, with the arguments that they take."""

    def prepare(self) -> None:
        """Make what has to be made before there is a manifest; most have nothing to make."""

    @abstractmethod
    def manifest(self) -> Manifest:
        """The clips of the data set.

        Raises:
            DataError: it is not there, or cannot be used as it is.
        """
