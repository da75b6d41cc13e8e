"""Entries of the store -> one file that holds them all, of which windows are cut: what training reads fastest.

    <root>/<feature>-<parameters>/packed/<digest of the entries' names>.npy         every array behind the other
    <root>/<feature>-<parameters>/packed/<digest of the entries' names>.ends.npy    where each ends

The file is mapped from disk, so that it is read at the pace of memory, starts at once, and is in memory once for all
processes of a computer. It can be deleted at any time, and is made again.
"""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sedcrnn.config.checking import digest
from sedcrnn.features.feature import Values
from sedcrnn.features.store import FeatureStore
from sedcrnn.progress import progress
from sedcrnn.runs.files import atomic, locked

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rows:
    """The values of some clips, in any order (row, ...), with the first row and the number of rows of each clip."""

    values: Values
    first: NDArray[np.int64]
    count: NDArray[np.int64]

    def of_clips(self, start: int, end: int) -> "Rows":
        """Those of some of the clips, which follow one another."""
        return replace(self, first=self.first[start:end], count=self.count[start:end])


class Pack:
    """The arrays of some entries in one file, `bounds` the rows of each; pickled without the values."""

    def __init__(self, path: Path, entries: Sequence[Path]) -> None:
        self.path, self.entries = path, entries
        ends = np.load(_ends(path)).tolist()
        self.bounds = dict(zip(entries, zip([0, *ends], ends, strict=False), strict=True))

    @cached_property
    def values(self) -> Values:
        """All arrays, one behind the other."""
        # A plain array, which is sliced five times as fast; copied on writing, for torch takes what may be written.
        return np.asarray(np.load(self.path, mmap_mode="c"))

    def __reduce__(self) -> tuple[type["Pack"], tuple[Path, Sequence[Path]]]:
        return Pack, (self.path, self.entries)


def make_pack(entries: Sequence[Path]) -> Pack | None:
    """The pack of some entries of one feature, made unless it is there; of several processes, the others wait for it.

    Returns:
        None where the disk has no room for it, which is logged.

    Raises:
        DataError: as `FeatureStore.open`.
    """
    entries = sorted(set(entries), key=str)  # the order of paths, at a fraction of the time
    path = entries[0].parent / "packed" / f"{digest([entry.name for entry in entries])}.npy"
    if (pack := _whole(path, entries)) is not None:
        return pack
    with locked(path.with_suffix(".lock"), in_use=None):
        if _whole(path, entries) is None:
            rows, needed = _measure(entries)
            free = shutil.disk_usage(path.parent).free
            if needed > free:
                log.warning(
                    "%d files of the store stay apart, which is slower: as one (%s) they take %.1f GB of %.1f.",
                    len(entries), path, needed / 1e9, free / 1e9,
                )  # fmt: skip
                return None
            _write(path, entries, rows)
    return Pack(path, entries)


def gather(entries: Sequence[Path]) -> Rows:
    """The arrays of some entries of one feature as one: of their pack, or, where the disk has no room for it, in
    memory; errors as `make_pack`."""
    if (pack := make_pack(entries)) is None:
        arrays = [np.array(FeatureStore.open(entry)) for entry in entries]
        counts = np.array([len(array) for array in arrays])
        return Rows(np.concatenate(arrays), counts.cumsum() - counts, counts)
    first, end = np.array([pack.bounds[entry] for entry in entries]).T
    return Rows(pack.values, first, end - first)


def _whole(path: Path, entries: Sequence[Path]) -> Pack | None:
    """The pack that is there; None where there is none, or one that is cut short, which is told."""
    if not path.is_file():
        return None
    try:
        pack = Pack(path, entries)
        rows = len(np.load(path, mmap_mode="r"))
        if rows == max(end for _, end in pack.bounds.values()):
            return pack
        problem = f"it has {rows} rows"
    except (OSError, EOFError, ValueError) as error:
        problem = str(error)
    log.warning("%s is damaged (%s), and is made again.", path, problem, extra={"once": True})
    return None


def _measure(entries: Sequence[Path]) -> tuple[list[int], int]:
    """Rows of each entry, and bytes of all. One is open at a time: an array that is mapped keeps its file open, and a
    process may have a thousand, on many computers."""
    rows, size = [], 0
    for entry in entries:
        array = FeatureStore.open(entry)
        rows.append(len(array))
        size += array.nbytes
    return rows, size


def _write(path: Path, entries: Sequence[Path], rows: Sequence[int]) -> None:
    ends = np.cumsum(rows)
    with atomic(_ends(path)) as temporary:
        np.save(temporary, ends)
    with atomic(path) as temporary:
        first = FeatureStore.open(entries[0])
        packed = np.lib.format.open_memmap(temporary, "w+", first.dtype, (int(ends[-1]), *first.shape[1:]))
        for entry, count, end in zip(progress(entries, "Packing, once", unit="clip", delay=1), rows, ends, strict=True):
            packed[end - count : end] = FeatureStore.open(entry)
        packed.flush()


def _ends(path: Path) -> Path:
    return path.with_suffix(".ends.npy")
