"""URL -> bytes that arrive, break off and go on where they broke off -> a file whose MD5 is the published one."""

import hashlib
import logging
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from io import FileIO
from pathlib import Path

import sedcrnn
from sedcrnn.errors import DataError

log = logging.getLogger(__name__)

# Seconds before each new try while nothing more arrives; any progress begins the list again.
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
TIMEOUT = 30.0  # seconds without a byte after which a connection is taken for dead
# Answers of a server that is overloaded or was interrupted, after which it is asked again.
_PASSING = {408, 425, 429, 500, 502, 503, 504}

Received = Callable[[int], None]


class DiskError(DataError):
    """A file that cannot be written, on a full disk for instance; going on with other files would not help."""


class Stopped(Exception):  # noqa: N818
    """Somebody asked to stop; what has arrived is kept."""


def fetch(url: str, path: Path, size: int, md5: str, received: Received, stop: threading.Event) -> None:
    """Download a file of a published size and MD5; it is at `path` only when it is whole and right.

    What has arrived lies in `<path>.part` meanwhile, survives a kill, and is gone on with by the next call. `received`
    is called with the bytes that each chunk added, negative where they count no more; `stop` ends the download.

    Raises:
        DataError: the server does not have the file, has another one, or stays unreachable.
    """
    part = partial_path(path)
    with writing(part):
        file = FileIO(part, "a+")  # unbuffered, so that a full disk is noticed at once, and not when it is closed
    with file:
        if _arrived(file) > size:
            file.truncate(0)
        furthest, failures = _arrived(file), 0
        while _arrived(file) < size:
            wait = 0.0
            try:
                _receive(url, file, size, received, stop)
                trouble = f"the connection broke off after {_arrived(file):,} of {size:,} bytes"
            except urllib.error.HTTPError as error:
                error.close()
                if error.code not in _PASSING:
                    raise DataError(
                        f"The server answers {error.code} {error.reason} for {url}",
                        "The published archives are at <url>/<record>/files/<name>",
                        "See whether the address works in a browser, and correct url=... if you gave another one",
                    ) from error
                trouble, asked = f"the server answers {error.code} {error.reason}", error.headers.get("Retry-After", "")
                wait = min(float(asked), 120.0) if asked.isdecimal() else 0.0
            except (OSError, HTTPException) as error:
                trouble = str(error) or type(error).__name__
            if (arrived := _arrived(file)) >= size:
                break
            failures = 0 if arrived > furthest else failures + 1
            furthest = max(furthest, arrived)
            if failures > len(WAITS):
                raise DataError(
                    f"{url} could not be fetched in {failures} tries in a row: {trouble}",
                    f"{arrived:,} of {size:,} bytes have arrived and are kept",
                    "Run the same command again later; it goes on from there",
                )
            log.warning(f"{path.name}: {trouble}; trying again")
            if stop.wait(max(wait, WAITS[max(failures, 1) - 1])):
                raise Stopped
        file.seek(0)
        # MD5 is what the repository publishes; against damage, not malice
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != md5:
            part.unlink()
            raise DataError(
                f"{url} has the MD5 {found}",
                f"The published one is {md5}, so the file was damaged on its way, or is another; it has been removed",
                "Run the same command again to fetch it anew",
            )
        with writing(part):
            os.fsync(file.fileno())
            part.replace(path)


def partial_path(path: Path) -> Path:
    """Where a file lies as long as it is not whole."""
    return path.with_name(f"{path.name}.part")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what keeps a file from being written into a DiskError."""
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"{path} cannot be written: {error.strerror or error}",
            "What has arrived or been unpacked before is kept",
            "Make room or correct the permissions, then run the same command again; it goes on from there",
        ) from error


def _arrived(file: FileIO) -> int:
    return os.fstat(file.fileno()).st_size


def _receive(url: str, file: FileIO, size: int, received: Received, stop: threading.Event) -> None:
    """One connection: append what it brings, from where the file ends, until all is there or it breaks off."""
    path = Path(str(file.name))
    agent = f"sedcrnn/{sedcrnn.__version__} (audio-visual scene classification)"  # Zenodo refuses Python's own
    request = urllib.request.Request(url, headers={"User-Agent": agent})
    if arrived := _arrived(file):
        request.add_header("Range", f"bytes={arrived}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        _check_length(url, response, arrived, size)
        if arrived and response.status != HTTPStatus.PARTIAL_CONTENT:
            log.warning(f"{path.name}: the server cannot go on after {arrived:,} bytes; starting over")
            received(-arrived)
            file.truncate(0)
        # read1 gives what is there, so that a slow connection shows progress and can be stopped.
        while (missing := size - _arrived(file)) and (data := response.read1(1 << 20)):
            if stop.is_set():
                raise Stopped
            rest = memoryview(data)[:missing]
            with writing(path):
                while rest:
                    rest = rest[file.write(rest) :]
            received(min(len(data), missing))


def _check_length(url: str, response: HTTPResponse, arrived: int, size: int) -> None:
    """Make sure, before anything is written, that the answer belongs to the file."""
    content_range = response.headers.get("Content-Range", "")
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        right = content_range == f"bytes {arrived}-{size - 1}/{size}"
    else:
        right = response.headers.get("Content-Length", str(size)) == str(size)
    if not right:
        raise DataError(
            f"{url} is announced with Content-Length {response.headers.get('Content-Length')}"
            + (f" and Content-Range {content_range}" if content_range else ""),
            f"The published file has {size:,} bytes",
            "See what the address answers in a browser: a proxy or login page may stand in between",
        )
