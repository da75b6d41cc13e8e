"""A data set's list of published archives -> those asked for -> fetched in parallel, verified and unpacked."""

import csv
import json
import logging
import shutil
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from sedcrnn.datasets.fetch import DiskError, Received, Stopped, fetch, partial_path
from sedcrnn.datasets.unpack import missing_bytes, unpack
from sedcrnn.errors import ConfigError, DataError, nearest
from sedcrnn.progress import progress
from sedcrnn.runs.files import locked, write_json

log = logging.getLogger(__name__)

FOLDER = "archives"
"""In the root: the zip files, what has arrived of others, and for each a record of the files that it held."""


@dataclass(frozen=True)
class Archive:
    """One published zip file: `<set's name>.<part>[.<number>].zip`, in a numbered record of the repository."""

    set: str
    record: str
    name: str
    bytes: int
    md5: str

    @property
    def part(self) -> str:
        """What it holds: `doc`, `meta`, `examples`, `audio` or `video`."""
        return self.name.split(".")[1]

    @property
    def folder(self) -> str:
        """Where it is unpacked, relative to the root. The sets have files of the same names, so each has its own."""
        return "" if self.set == "development" else self.set


def read_archives(path: Path) -> tuple[Archive, ...]:
    """Read a list of archives: CSV with the columns split, zenodo_record, archive, bytes, md5."""
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(
            Archive(row["split"], row["zenodo_record"], row["archive"], int(row["bytes"]), row["md5"])
            for row in csv.DictReader(file)
        )


def select(archives: Sequence[Archive], wanted: str, only: Collection[str] | None) -> tuple[Archive, ...]:
    """The archives of a set (`development`, `evaluation` or `both`), or some parts of it.

    Raises:
        ConfigError: a part that does not exist.
    """
    of_set = [archive for archive in archives if wanted in (archive.set, "both")]
    parts = list(dict.fromkeys(archive.part for archive in of_set))
    for part in only or ():
        if part not in parts:
            raise ConfigError(
                f"only={part}",
                f"The nearest is {nearest(part, parts)}; set={wanted} has the parts {', '.join(parts)}",
                f"Use some of them, as in only={','.join(parts[-2:])}",
            )
    return tuple(archive for archive in of_set if not only or archive.part in only)


@dataclass(frozen=True)
class _Job:
    """One archive, where it lies, and the folder of its files."""

    archive: Archive
    path: Path
    folder: Path

    @property
    def record(self) -> Path:
        return self.path.with_suffix(".json")

    def is_unpacked(self) -> bool:
        """All files that the record names are there, in their size."""
        if not self.record.is_file():
            return False
        record = json.loads(self.record.read_text(encoding="utf-8"))
        return record["md5"] == self.archive.md5 and all(
            (self.folder / name).is_file() and (self.folder / name).stat().st_size == size
            for name, size in record["files"].items()
        )

    def to_fetch(self) -> int:
        """Bytes still to be fetched. Only a verified file gets its final name; a file that somebody else put there is
        verified by the checksums in it when it is unpacked."""
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
        return round(self.archive.bytes * (1.2 if self.archive.part == "audio" else 1))  # mp4 does not shrink in a zip


def download(archives: Sequence[Archive], root: Path, url: str, jobs: int = 4, remove_archives: bool = False) -> None:
    """Make sure that the files of all archives lie in the root; arguments are those of `sedcrnn data download`.
    Interrupted, it goes on where it was.

    Raises:
        DataError: too little room, another process in the folder, or archives that failed; all others are there.
    """
    try:
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{root} cannot be made or written to: {error.strerror}",
            "The root is a folder of yours, or is made",
            "Correct data.root=<folder>",
        ) from error
    with _alone(root / FOLDER):
        everything = [_Job(archive, root / FOLDER / archive.name, root / archive.folder) for archive in archives]
        done = [job for job in everything if job.is_unpacked()]
        to_do = [job for job in everything if job not in done]
        log.info(f"{len(done)} of {len(everything)} archives are unpacked in {root} already.")
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
    log.info(f"{_size(sum(to_fetch))} to fetch, about {_size(unpacked)} to unpack; {_size(free)} are free.")
    if archives + unpacked > free:
        raise DataError(
            f"{root} has {_size(free)} of free space",
            f"{_size(archives)} of archives and about {_size(unpacked)} of files would lie there",
            "Make room or choose another disk; remove_archives=true needs less, and so does only=<part>",
        )


def _work(to_do: Sequence[_Job], url: str, jobs: int, remove_archives: bool) -> None:
    """Fetch and unpack; a failure of one archive does not keep the others from being completed."""
    failures: list[DataError] = []
    stop = threading.Event()
    total = sum(job.archive.bytes for job in to_do)
    here = total - sum(job.to_fetch() for job in to_do)
    one_at_a_time = threading.Lock()

    def received(count: int) -> None:
        with one_at_a_time:
            bytes_bar.update(count)

    with (
        progress(about="Fetching", total=total, initial=here, unit="B", unit_scale=True, position=0) as bytes_bar,
        progress(about="Unpacking", total=len(to_do), unit="archive", position=1) as archives_bar,
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
                    log.error(error)
        finally:
            stop.set()  # also when interrupted: the pool waits for its threads
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise DataError(
            f"{len(failures)} of {len(to_do)} archives could not be fetched or unpacked; each is named above",
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
            fetch(address, job.path, archive.bytes, archive.md5, received, stop)
        files = unpack(job.path, job.folder, stop)
    except DiskError:
        stop.set()
        raise
    write_json(job.record, {"md5": archive.md5, "files": files})
    if remove_archive:
        job.path.unlink()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    in_use = DataError(
        f"Another process is downloading into {folder}",
        "One at a time can",
        "Wait for it, or end it; what it has fetched is kept",
    )
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / ".lock", in_use))
        except OSError as error:  # of file systems that have no locks
            log.warning(f"{folder} cannot be locked ({error.strerror}): start no second download into it.")
        yield


def _size(count: float) -> str:
    return tqdm.format_sizeof(count, "B")
