"""Features on disk, addressed by content: the key covers the media file's bytes and every parameter.

    <root>/known.sqlite                              path and state of a file -> digest, so that each is read once
    <root>/<feature>-<parameters>/parameters.json
    <root>/<feature>-<parameters>/<key>.npy          one array, then 8 bytes: the digest of all before them

One file per clip: clips differ in length, parallel writers need no locks, and an entry is whole or not there.
"""

import hashlib
import io
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sedcrnn.errors import ClipError, DataError
from sedcrnn.features.feature import Stored
from sedcrnn.features.known_files import Known, KnownFiles
from sedcrnn.runs.files import atomic, write_json

SEAL = 8  # bytes at the end of an entry, at which `np.load` does not look

SAVE_EVERY = 2.0  # seconds


class FeatureStore:
    """Where features are kept, in a folder that is made when absent. May be pickled, without what it remembers of
    files, and used by any number of processes at a time.

    What takes many files at once asks for what is known of them once, which is quicker than one by one.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._recent: Known = {}
        self._unsaved: Known = {}
        self._pause, self._saved = 0.0, time.monotonic()  # seconds between two savings, and when the last one was
        self.root.mkdir(parents=True, exist_ok=True)
        self._files = KnownFiles(self.root / "known.sqlite")

    def __reduce__(self) -> tuple[type["FeatureStore"], tuple[Path]]:
        return FeatureStore, (self.root,)

    def keys(self, sources: Sequence[Path], feature: Stored) -> list[str]:
        """Names of entries: 32 hexadecimal digits from each file's content and the feature's name and parameters.

        Raises:
            ClipError: a file is absent or cannot be read.
        """
        known = self._recall(sources)
        with self.saving_every(SAVE_EVERY):
            contents = [self._read(source) if one is None else one for source, one in zip(sources, known, strict=True)]
        return _keys(contents, feature)

    def paths(self, sources: Sequence[Path], feature: Stored) -> list[Path]:
        """Where the entries of files lie, or would; errors as `keys`."""
        folder = self._folder(feature)
        return [folder / f"{key}.npy" for key in self.keys(sources, feature)]

    def known(self, sources: Sequence[Path], feature: Stored) -> list[bool]:
        """Of each entry, whether it is known to be whole from before; no file is read."""
        contents = self._recall(sources)
        keys = _keys([content for content in contents if content is not None], feature)
        folder = self._folder(feature)
        whole = iter(self._recall([f"{folder}{os.sep}{key}.npy" for key in keys]))
        return [content is not None and next(whole) is not None for content in contents]

    def key(self, source: Path, feature: Stored) -> str:
        """The name of one entry, as `keys`."""
        return self.keys([source], feature)[0]

    def path(self, source: Path, feature: Stored) -> Path:
        """Where one entry lies, or would, as `paths`."""
        return self.paths([source], feature)[0]

    def knows(self, source: Path, feature: Stored) -> bool:
        """Whether one entry is known to be whole, as `known`."""
        return self.known([source], feature)[0]

    def write(self, source: Path, feature: Stored, values: NDArray[Any]) -> Path:
        """Add an entry, whole or not at all; returns where."""
        entry = self.path(source, feature)
        described = entry.parent / "parameters.json"
        if not described.exists():
            write_json(described, feature.parameters())
        array = io.BytesIO()
        np.save(array, values, allow_pickle=False)
        seal = _seal(array.getbuffer())
        with atomic(entry) as temporary, temporary.open("wb") as file:
            file.write(array.getbuffer())
            file.write(seal)
        self.remember({_absolute(entry): (_state(entry), seal.hex())})
        return entry

    def read(self, source: Path, feature: Stored) -> NDArray[Any]:
        """The array, time first, mapped from disk and not copied; errors as `key` and `open`."""
        return self.open(self.path(source, feature))

    @staticmethod
    def open(entry: Path) -> NDArray[Any]:
        """The array of an entry, mapped from disk: only what is indexed is read.

        Raises:
            DataError: the entry was not made, or was removed.
        """
        try:
            values: NDArray[Any] = np.load(entry, mmap_mode="r")
        except FileNotFoundError as error:
            raise DataError(
                f"The feature '{entry}' is not in the store",
                "Features are made before they are read",
                "Run the command again: it makes what is missing",
            ) from error
        return values

    def verify(self, entry: Path) -> bool:
        """Whether an entry is there and is to the last bit what was written; reads all of it."""
        try:
            state = _state(entry)
            content = memoryview(entry.read_bytes())
        except FileNotFoundError:
            return False
        seal = _seal(content[:-SEAL])
        whole = len(content) > SEAL and seal == content[-SEAL:]
        if whole:
            self.remember({_absolute(entry): (state, seal.hex())})
        return whole

    @contextmanager
    def saving_every(self, seconds: float) -> Iterator[None]:
        """Write down what is learnt of files only so often, and in the end: each time waits for the disk. What a kill
        takes is learnt again."""
        before, self._pause = self._pause, max(seconds, self._pause)
        try:
            yield
        finally:
            self._pause = before
            self.remember({})

    def remember(self, learnt: Known) -> None:
        """Write down the digests of files, in the states in which they were read, for all processes."""
        self._recent |= learnt
        self._unsaved |= learnt
        if self._unsaved and time.monotonic() >= self._saved + self._pause:
            self._files.write_down(self.take_unsaved())
            self._saved = time.monotonic()

    def take_unsaved(self) -> Known:
        """What has been learnt and not been written down, for another process to do so."""
        taken, self._unsaved = self._unsaved, {}
        return taken

    def _folder(self, feature: Stored) -> Path:
        return self.root / f"{feature.name}-{_digest(_json(feature.parameters()), 8)}"

    def _read(self, source: Path) -> str:
        """Digest of a file's bytes."""
        try:
            state = _state(source)
            with source.open("rb") as file:
                content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        except OSError as error:
            absent = isinstance(error, FileNotFoundError)
            raise ClipError(
                f"The file '{source}' " + ("is listed but absent" if absent else f"cannot be read: {error}"),
                "Every listed clip has its audio and its video file",
                "Complete the data set, or choose data.unreadable=skip",
            ) from error
        self.remember({_absolute(source): (state, content)})
        return content

    def _recall(self, files: Sequence[Path | str]) -> list[str | None]:
        """The digest of each file that this or another process knows, and that has not changed since."""
        paths = [_absolute(file) for file in files]
        found = [(path, _state_if_present(path)) for path in paths]
        if unsure := [path for path, state in found if state and self._recent.get(path, ("", ""))[0] != state]:
            self._recent |= self._files.look_up(unsure)  # another process may know more
        recent = [(state, *self._recent.get(path, ("", ""))) for path, state in found]
        return [digest if state and state == then else None for state, then, digest in recent]


def _keys(contents: Sequence[str], feature: Stored) -> list[str]:
    name, parameters = json.dumps(feature.name), _json(feature.parameters())
    return [_digest(f'["{content}", {name}, {parameters}]', 16) for content in contents]


def _absolute(path: Path | str) -> str:
    return os.path.join(os.getcwd(), path)  # noqa: PTH109, PTH118 - a sixth of what Path takes, for every clip


def _state(path: Path | str) -> str:
    """What changes whenever a file does; the time of the inode also tells changes that put the other time back."""
    status = os.stat(path)  # noqa: PTH116
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _state_if_present(path: str) -> str | None:
    try:
        return _state(path)
    except OSError:
        return None


def _seal(content: memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=SEAL).digest()


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _digest(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()
