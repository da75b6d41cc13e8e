"""Folder -> its media files, each once, in one order -> the files of one name, which are a clip's audio and video.

Links are followed, for recordings often lie elsewhere. A folder is entered once, whatever leads to it, and never by a
link that lies in it, so that links in circles end. Files that systems leave behind are passed over.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from sedcrnn.datasets.clips import AUDIO_SUFFIXES, MEDIA_SUFFIXES
from sedcrnn.errors import DataError

SYSTEM_FOLDERS = frozenset(
    {"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)  # of macOS's archives, network disks, Windows and Linux; they may hold copies of what was removed

Identity = tuple[int, int]


def media_files(folder: Path, ignored: Counter[str]) -> list[Path]:
    """Audio and video files at any depth, sorted; other files are counted by kind.

    A link to a file that is not there is among them, so that it is missed.

    Raises:
        DataError: a folder that cannot be read.
    """
    met = set(_above(folder))
    found: list[Path] = []
    folders, links = [folder], list[Path]()
    while folders or links:
        current = folders.pop() if folders else links.pop(0)  # where both lead to a folder, the name is not the link's
        if (identity := _identity(current)) in met:
            continue
        met.add(identity)
        for entry in _entries(current):
            path, is_plain = current / entry.name, entry.is_file(follow_symlinks=False)
            if not is_plain and path.is_dir():
                if not _is_passed_over(entry.name):
                    (links if entry.is_symlink() else folders).append(path)
            elif is_media(path) and (is_plain or path.is_file() or not path.exists()):  # no pipe: it would never end
                found.append(path)
            else:
                ignored[kind_of(path)] += 1
    return sorted(found)


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, without those of systems, hidden ones, and links to where it lies itself."""
    inside = [folder / entry.name for entry in _entries(folder) if not _is_passed_over(entry.name)]
    around = {_identity(folder), *_above(folder)}
    return [path for path in inside if path.is_dir() and _identity(path) not in around]


def of_one_name(files: Iterable[Path]) -> dict[Path, tuple[list[Path], list[Path]]]:
    """Path without suffix -> the audio files and the video files of that name."""
    named: defaultdict[Path, tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
    for file in files:
        named[file.with_name(file.stem)][file.suffix.lower() not in AUDIO_SUFFIXES].append(file)
    return dict(named)


def linked_again(clips: Sequence[tuple[Path, ...]]) -> list[bool]:
    """Of each clip's files, whether all of them are those of another clip, to which it has links."""
    linked = [any(map(os.path.islink, files)) for files in clips]
    if not any(linked):
        return linked
    real = [tuple(os.path.realpath(file) for file in files) for files in clips]
    met = {files for files, is_linked in zip(real, linked, strict=True) if not is_linked}
    again: list[bool] = []
    for files, is_linked in zip(real, linked, strict=True):
        again.append(is_linked and files in met)
        met.add(files)
    return again


def is_media(path: Path) -> bool:
    """Whether a file in a folder is taken for audio or video, by its name."""
    return not path.name.startswith(".") and path.suffix.lower() in MEDIA_SUFFIXES


def kind_of(path: Path) -> str:
    """What a file that is passed over is called in counts."""
    return "hidden" if path.name.startswith(".") else path.suffix.lower() or "without suffix"


def _is_passed_over(folder: str) -> bool:
    return folder.startswith(".") or folder in SYSTEM_FOLDERS


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"The folder '{folder}' cannot be read: {error.strerror}",
            "All folders of a data set, and those to predict, are gone through",
            "Give the permission to read it, or move it elsewhere",
        ) from error


def _identity(path: Path) -> Identity:
    """What all names of a folder share."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _above(folder: Path) -> list[Identity]:
    """The folders that a folder lies in."""
    return [_identity(above) for above in folder.resolve().parents]
