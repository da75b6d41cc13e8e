"""Paths of files and folders -> media to predict: a file by itself, or a sound and a picture side by side."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from sedcrnn.datasets.clips import MEDIA_SUFFIXES, SOUND_SUFFIXES
from sedcrnn.errors import DataError


@dataclass(frozen=True)
class Media:
    """What is predicted as one clip.

    Attributes:
        name: as it is told to the user: the path as it was given, or below the folder that was given.
        picture: file with the picture.
        sound: file with the sound; may be the same file.
    """

    name: str
    picture: Path
    sound: Path


def find_media(paths: Iterable[str]) -> list[Media]:
    """The media that some paths name, in order.

    A file is taken whatever its name. A folder stands for the media files in it and in its folders, by their
    suffixes; there, a sound file and a video file of one name (`a.wav`, `a.mp4`) are one clip, whose own sound is not
    used.

    Raises:
        DataError: no paths, a path that does not exist, or a folder without media.
    """
    found = [media for path in paths for media in _find(Path(path))]
    if not found:
        raise DataError(
            "No files are named",
            "Any number of media files and folders may be",
            "Use `python -m sedcrnn.predict run=<run> <files or folder>`",
        )
    return found


def _find(path: Path) -> list[Media]:
    if path.is_file():
        return [Media(str(path), path, path)]
    if not path.is_dir():
        raise DataError(f"There is no file or folder '{path}'", "Media files and folders are predicted", "Correct it")
    files = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in MEDIA_SUFFIXES and file.is_file() and not file.name.startswith(".")
    )
    if not files:
        raise DataError(
            f"The folder '{path}' holds no media files",
            f"They are told by their suffixes: {' '.join(sorted(MEDIA_SUFFIXES))}",
            "Name another folder, or the files themselves, which may have any name",
        )
    return list(_paired(files, path))


def _paired(files: list[Path], folder: Path) -> Iterator[Media]:
    for _, group in groupby(files, key=lambda file: file.with_suffix("")):
        same = list(group)
        sounds = [file for file in same if file.suffix.lower() in SOUND_SUFFIXES]
        if len(same) == 2 and len(sounds) == 1:
            picture = next(file for file in same if file not in sounds)
            yield Media(str(picture.relative_to(folder)), picture, sounds[0])
        else:
            yield from (Media(str(file.relative_to(folder)), file, file) for file in same)
