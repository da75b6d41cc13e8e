"""Features on disk, addressed by content: the key covers the media file's bytes and every parameter.

    <root>/known.sqlite                              path and state of a file -> digest, so that each is read once
    <root>/<feature>-<parameters>/parameters.json
    <root>/<feature>-<parameters>/<key>.npy          one array, then 8 bytes: the digest of all before them

One file per clip: clips differ in length, parallel writers need no locks, and an entry is whole or not there.
"""

import hashlib
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sedcrnn.errors import ClipError, DataError
from sedcrnn.features.feature import Stored
from sedcrnn.runs.files import atomic, write_json

SEAL = 8  # bytes at the end of an entry, at which `np.load` does not look


class FeatureStore:
    """Where features are kept, in a folder that is made when absent. May be pickled, without what it remembers of
    files, and used by any number of processes at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._recent: dict[Path, tuple[str, str]] = {}  # state and digest of files
        self.root.mkdir(parents=True, exist_ok=True)
        with self._connect() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, state TEXT, digest TEXT)")

    def __reduce__(self) -> tuple[type["FeatureStore"], tuple[Path]]:
        return FeatureStore, (self.root,)

    def key(self, source: Path, feature: Stored) -> str:
        """Name of an entry: 32 hexadecimal digits from the file's content and the feature's name and parameters.

        Raises:
            ClipError: the file is absent or cannot be read.
        """
        return _digest([self._content(source), feature.name, feature.parameters()], 16)

    def path(self, source: Path, feature: Stored) -> Path:
        """Where the entry lies, or would; errors as `key`."""
        folder = self.root / f"{feature.name}-{_digest(feature.parameters(), 8)}"
        return folder / f"{self.key(source, feature)}.npy"

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
        self._remember(entry, _state(entry), seal.hex())
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
            self._remember(entry, state, seal.hex())
        return whole

    def knows(self, source: Path, feature: Stored) -> bool:
        """Whether the entry is known to be whole from before, without reading either file."""
        return self._recall(source) is not None and self._recall(self.path(source, feature)) is not None

    def _content(self, source: Path) -> str:
        """Digest of a file's bytes; remembered until the file changes."""
        if (known := self._recall(source)) is not None:
            return known
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
        self._remember(source, state, content)
        return content

    def _recall(self, path: Path) -> str | None:
        """The digest of a file, if this or another process knows it and the file has not changed since."""
        try:
            state = _state(path)
        except OSError:
            return None
        if self._recent.get(path, ("", ""))[0] != state:  # another process may know more
            with self._connect() as connection:
                query = "SELECT state, digest FROM files WHERE path = ?"
                found = connection.execute(query, (str(path.absolute()),)).fetchone()
            if found is None or found[0] != state:
                return None
            self._recent[path] = found
        return self._recent[path][1]

    def _remember(self, path: Path, state: str, digest: str) -> None:
        self._recent[path] = (state, digest)
        with self._connect() as connection:
            connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (str(path.absolute()), state, digest))

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        # One connection per use: connections survive neither a fork nor a trip to another thread.
        with closing(sqlite3.connect(self.root / "known.sqlite", timeout=60)) as connection, connection:
            yield connection


def _state(path: Path) -> str:
    """What changes whenever a file does; the time of the inode also tells changes that put the other time back."""
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _seal(content: memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=SEAL).digest()


def _digest(value: object, size: int) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=size).hexdigest()
