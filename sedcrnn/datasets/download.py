"""Archives that were asked for -> those that are there -> the others fetched in parallel, verified and unpacked."""

import fcntl
import json
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from sedcrnn.datasets.archives import Archive
from sedcrnn.datasets.fetch import DiskError, Received, Stopped, fetch, partial_path
from sedcrnn.datasets.unpack import missing_bytes, unpack
from sedcrnn.errors import DataError, SedcrnnError
from sedcrnn.runs.files import write_json

FOLDER = "archives"
"""In the root: the zip files, what has arrived of others, and for each a record of the files that it held."""

_EXPANSION = {"audio": 1.2}
"""Unpacked bytes per packed byte, of archives that are not there yet. Sound shrinks a little in a zip file, mp4 does
not, and the rest is small."""


@dataclass(frozen=True)
class _Job:
    """One archive, and where it and its files lie."""

    archive: Archive
    root: Path

    @property
    def path(self) -> Path:
        return self.root / FOLDER / self.archive.name

    @property
    def folder(self) -> Path:
        return self.root / self.archive.folder

    @property
    def record(self) -> Path:
        return self.path.with_suffix(".json")

    def is_unpacked(self) -> bool:
        """All files that the record names are there, in their size."""
        if not self.record.is_file():
            return False
        record = json.loads(self.record.read_text(encoding="utf-8"))
        return record["md5"] == self.archive.md5 and all(
            path.is_file() and path.stat().st_size == size
            for path, size in ((self.folder / name, size) for name, size in record["files"].items())
        )

    def to_fetch(self) -> int:
        """Bytes still to be fetched. Only a verified file gets its final name; a file that somebody else put there is
        verified by the checksums in it when it is unpacked.

        Raises:
            DataError: a file of another size.
        """
        if self.path.is_file():
            if (size := self.path.stat().st_size) != self.archive.bytes:
                raise DataError(
                    f"{self.path} has {size:,} bytes",
                    f"The published archive has {self.archive.bytes:,}",
                    "Delete it, and run the same command again to fetch it",
                )
            return 0
        part = partial_path(self.path)
        return self.archive.bytes - min(part.stat().st_size if part.is_file() else 0, self.archive.bytes)

    def to_unpack(self) -> int:
        """Bytes still to be unpacked: exact for an archive that is there, otherwise estimated."""
        if self.path.is_file():
            return missing_bytes(self.path, self.folder)
        return round(self.archive.bytes * _EXPANSION.get(self.archive.part, 1.0))


def download(archives: Sequence[Archive], root: Path, url: str, jobs: int = 4, remove_archives: bool = False) -> None:
    """Make sure that the files of all archives lie in the root. Interrupted, it goes on where it was.

    Args:
        archives: which.
        root: folder of the data set; made if missing.
        url: where the archives are: at `<url>/<record>/files/<name>`.
        jobs: archives that are fetched and unpacked at a time.
        remove_archives: remove each archive when it is unpacked.

    Raises:
        DataError: not enough space on the disk, another process at work in the same folder, or archives that could
            not be fetched or unpacked; all others are there.
    """
    try:
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{root} cannot be made or written to: {error.strerror}",
            "The root is a folder of yours, or is made",
            "Correct root=<folder>",
        ) from error
    with _alone(root / FOLDER):
        everything = [_Job(archive, root) for archive in archives]
        done = [job for job in everything if job.is_unpacked()]
        to_do = [job for job in everything if job not in done]
        print(f"{len(done)} of {len(everything)} archives are unpacked in {root} already.")
        if remove_archives:
            for job in done:
                job.path.unlink(missing_ok=True)
        if to_do:
            _check_space(root, to_do, jobs, remove_archives)
            _work(to_do, url, jobs, remove_archives)


def _check_space(root: Path, to_do: Sequence[_Job], jobs: int, remove_archives: bool) -> None:
    to_fetch, unpacked = [job.to_fetch() for job in to_do], sum(job.to_unpack() for job in to_do)
    # Archives that are removed lie there only while they are worked on.
    archives = sum(sorted(to_fetch)[-jobs:] if remove_archives else to_fetch)
    free = shutil.disk_usage(root).free
    print(f"{_size(sum(to_fetch))} to fetch, about {_size(unpacked)} to unpack; {_size(free)} are free.")
    if archives + unpacked > free:
        raise DataError(
            f"{root} has {_size(free)} of free space",
            f"{_size(archives)} of archives and about {_size(unpacked)} of files would lie there",
            "Make room or choose another disk; remove_archives=true needs less, and so does only=<part>",
        )


def _work(to_do: Sequence[_Job], url: str, jobs: int, remove_archives: bool) -> None:
    """Fetch and unpack; a failure of one archive does not keep the others from being completed."""
    failures: list[SedcrnnError] = []
    stop = threading.Event()
    total = sum(job.archive.bytes for job in to_do)
    left = sum(job.to_fetch() for job in to_do)
    one_at_a_time = threading.Lock()

    def received(count: int) -> None:
        with one_at_a_time:
            bytes_bar.update(count)

    with (
        tqdm(total=total, initial=total - left, desc="Fetching", unit="B", unit_scale=True, position=0) as bytes_bar,
        tqdm(total=len(to_do), desc="Unpacking", unit="archive", position=1) as archives_bar,
        ThreadPoolExecutor(jobs) as pool,
    ):
        futures = [pool.submit(_complete, job, url, remove_archives, received, stop) for job in to_do]
        try:
            for future in as_completed(futures):
                try:
                    future.result()
                    archives_bar.update()
                except Stopped:
                    pass
                except DataError as error:
                    failures.append(error)
                    _say(str(error))
        finally:
            stop.set()  # also when interrupted: the pool waits for its threads
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise DataError(
            f"{len(failures)} of {len(to_do)} archives could not be fetched or unpacked; each is told above",
            "All others are complete",
            f"The first was: {failures[0]}",
        )


def _complete(job: _Job, url: str, remove_archive: bool, received: Received, stop: threading.Event) -> None:
    """Fetch and unpack one archive, then write the record by which it is known to be complete."""
    if stop.is_set():
        raise Stopped
    archive = job.archive
    try:
        if job.to_fetch():
            address = f"{url.rstrip('/')}/{archive.record}/files/{archive.name}"
            fetch(address, job.path, archive.bytes, archive.md5, received, _say, stop)
        files = unpack(job.path, job.folder, stop)
    except DiskError:
        stop.set()
        raise
    write_json(job.record, {"md5": archive.md5, "files": files})
    if remove_archive:
        job.path.unlink()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second process from working in the folder. The lock ends with the process, however that ends."""
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                f"Another process is downloading into {folder}",
                "One at a time can",
                "Wait for it, or end it; what it has fetched is kept",
            ) from error
        except OSError as error:
            _say(f"{folder} cannot be locked ({error.strerror}): start no second download into it.")
        yield


def _size(count: float) -> str:
    return tqdm.format_sizeof(count, "B")


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
