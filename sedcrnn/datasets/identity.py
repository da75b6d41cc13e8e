"""Clips whose files hold the same bytes, whatever they are called.

On two sides of a split they make a test of what was learnt by heart, and under two labels one of them is wrong: both
are refused. The same audio under two labels is only told where the clips differ in video, which tells them apart; on
two sides it is refused even then, for the audio was trained on.
"""

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.folds import Folds
from sedcrnn.errors import DataError, visible

log = logging.getLogger(__name__)

# Audio and video -> what stands for the bytes of each clip's file; None: unknown.
Tracks = Mapping[Any, Sequence[object]]

PROBLEMS = ("on two sides of the split", "under two labels")

_PIECE = 1 << 16  # bytes at the beginning and at the end of a file, in which nearly all files of one size differ


@dataclass(frozen=True)
class Copies:
    """Clips of which some or all files hold the same bytes: `tracks` are audio, video or both."""

    clips: tuple[Clip, ...]
    tracks: tuple[str, ...]
    are_whole: bool  # all tracks of the clips that were looked at

    def problem(self, sides: Mapping[str, str]) -> str:
        """Why they cannot be trained on, one of `PROBLEMS`; empty where they can. `sides` are those of clips by id."""
        if len({sides[clip.id] for clip in self.clips}) > 1:
            return PROBLEMS[0]
        return PROBLEMS[1] if self.are_whole and len({clip.scenes for clip in self.clips}) > 1 else ""

    def named(self, sides: Mapping[str, str]) -> str:
        """The first few of the clips in words."""
        return " and ".join(with_side(clip, sides) for clip in self.clips[:3]) + (
            "" if self.are_whole else f" in {self.tracks[0]}"
        )


def with_side(clip: Clip, sides: Mapping[str, str]) -> str:
    """A clip with its fold and its scene, in words."""
    return f"{clip.id} ({sides[clip.id]}, {clip.label})"


def find_copies(clips: Sequence[Clip], tracks: Tracks) -> list[Copies]:
    """The clips that share bytes, in the order of the first of each."""
    together = [None if None in contents else contents for contents in zip(*tracks.values(), strict=True)]
    shared: dict[tuple[int, ...], tuple[str, ...]] = {}
    for names, contents in [(tuple(tracks), together), *(((track,), tracks[track]) for track in tracks)]:
        for numbers in alike(contents):
            shared.setdefault(numbers, names)
    return [
        Copies(tuple(clips[number] for number in numbers), names, len(names) == len(tracks))
        for numbers, names in sorted(shared.items())
    ]


def alike(contents: Iterable[object]) -> list[tuple[int, ...]]:
    """The numbers of those that are the same as others, group by group; None is like nothing."""
    holders: defaultdict[object, list[int]] = defaultdict(list)
    for number, content in enumerate(contents):
        if content is not None:
            holders[content].append(number)
    return [tuple(numbers) for numbers in holders.values() if len(numbers) > 1]


def check_contents(folds: Folds, clips: Sequence[Clip], tracks: Tracks) -> None:
    """Refuse copies on two sides of the folds or under two labels, and tell others; `clips` have their true labels.

    Raises:
        DataError: naming them.
    """
    sides = {clip.id: name for name, fold in vars(folds).items() for clip in fold}
    copies = find_copies(clips, tracks)
    for problem in PROBLEMS:
        if wrong := [one for one in copies if one.problem(sides) == problem]:
            raise DataError(
                f"Files hold the same bytes {problem}, {len(wrong)} time(s): {wrong[0].named(sides)}",
                "A recording is in one fold and has one label, whatever its files are called",
                "Remove all but one of each, or put those of one label into one group; sedcrnn data check names them",
            )
    if copies:
        found = f"{len(copies)} recording(s) are there more than once, in one fold: {copies[0].named(sides)}, ..."
        log.warning(visible(found), extra={"once": True})


def contents_of(files: Sequence[Path], each: Callable[[Callable[[Path], str], list[Path]], Iterable[str]]) -> list[str]:
    """What stands for the bytes of each file: digests of those that another file may be like, and else their size.

    Args:
        files: of which some may be the same, and all exist.
        each: applies a function to files, in parallel.
    """
    contents = {file: str(os.stat(file).st_size) for file in files}  # noqa: PTH116 - for every file of a data set
    for digest in (_digest_of_ends, _digest_of_all):
        names = list(contents)
        unsure = [names[number] for numbers in alike(contents.values()) for number in numbers]
        contents |= dict(zip(unsure, each(digest, unsure), strict=True))
    return [contents[file] for file in files]


def _digest_of_ends(file: Path) -> str:
    size = file.stat().st_size
    with file.open("rb") as opened:
        digest = hashlib.blake2b(opened.read(_PIECE), digest_size=16)
        opened.seek(max(0, size - _PIECE))
        digest.update(opened.read(_PIECE))
    return f"{size} {digest.hexdigest()}"


def _digest_of_all(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
