"""Entries of the store -> one file that holds them all, of which windows are cut: what training reads fastest.

    <root>/<feature>-<parameters>/packed/<digest of the entries' names>.npy         every array behind the other
    <root>/<feature>-<parameters>/packed/<digest of the entries' names>.ends.npy    where each ends

The file is mapped from disk, so that it is read at the pace of memory, starts at once, and is in memory once for all
processes of a computer. It can be deleted at any time, and is made again.
"""

import logging
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sedcrnn.config.checking import digest
from sedcrnn.features.feature import Values
from sedcrnn.features.store import FeatureStore
from sedcrnn.runs.files import atomic, locked

log = logging.getLogger(__name__)


class Pack:
    """The arrays of some entries in one file, by the name of the entry; pickled as its path alone."""

    def __init__(self, path: Path, entries: Sequence[Path]) -> None:
        self.path, self.entries = path, entries
        ends = np.load(_ends(path)).tolist()
        self.bounds = dict(zip(entries, zip([0, *ends], ends, strict=False), strict=True))

    def __getitem__(self, entry: Path) -> Values:
        """The array of an entry, as `FeatureStore.open` gives it."""
        start, end = self.bounds[entry]
        return self._values[start:end]

    @cached_property
    def _values(self) -> Values:
        return np.asarray(np.load(self.path, mmap_mode="r"))  # a plain array, which is sliced five times as fast

    def __reduce__(self) -> tuple[type["Pack"], tuple[Path, Sequence[Path]]]:
        return Pack, (self.path, self.entries)


def make_pack(entries: Sequence[Path]) -> Pack | None:
    """The pack of some entries of one feature, made unless it is there; of several processes, the others wait for it.

    Returns:
        None where the disk has no room for it, which is logged.

    Raises:
        DataError: as `FeatureStore.open`.
    """
    entries = sorted(set(entries))
    path = entries[0].parent / "packed" / f"{digest([entry.name for entry in entries])}.npy"
    if path.is_file():
        return Pack(path, entries)
    with locked(path.with_suffix(".lock"), in_use=None):
        if not path.is_file():
            arrays = [FeatureStore.open(entry) for entry in entries]
            needed, free = sum(array.nbytes for array in arrays), shutil.disk_usage(path.parent).free
            if needed > free:
                log.warning(
                    "Windows are read from %d files, which is slower: all in one (%s) need %.1f GB, and %.1f are free.",
                    len(entries), path, needed / 1e9, free / 1e9,
                )  # fmt: skip
                return None
            _write(path, arrays)
    return Pack(path, entries)


def _write(path: Path, arrays: Sequence[NDArray[np.generic]]) -> None:
    ends = np.cumsum([len(array) for array in arrays])
    with atomic(_ends(path)) as temporary:
        np.save(temporary, ends)
    with atomic(path) as temporary:
        shape = (int(ends[-1]), *arrays[0].shape[1:])
        packed = np.lib.format.open_memmap(temporary, "w+", arrays[0].dtype, shape)
        progress = tqdm(arrays, "Packing, once", unit="clip", delay=1)
        for array, end in zip(progress, ends, strict=True):
            packed[end - len(array) : end] = array
        packed.flush()


def _ends(path: Path) -> Path:
    return path.with_suffix(".ends.npy")
