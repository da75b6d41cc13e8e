"""URL -> bytes that arrive, break off and go on where they broke off -> a file whose MD5 is the published one."""

import hashlib
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
from typing import NoReturn, Self

import sedcrnn
from sedcrnn.errors import DataError

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds before each new try while nothing more arrives; any progress begins the list again."""

LONGEST_WAIT = 120.0
"""Seconds; a server that asks for more patience than this gets this much."""

TIMEOUT = 30.0
"""Seconds without a byte after which a connection is taken for dead."""

CHUNK = 1 << 20

# Zenodo refuses the standard one of Python.
_HEADERS = {"User-Agent": f"sedcrnn/{sedcrnn.__version__} (audio-visual scene classification)"}

_PASSING = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}

Received = Callable[[int], None]
Say = Callable[[str], None]


class DiskError(DataError):
    """A file that cannot be written, on a full disk for instance; going on with other files would not help."""


class Stopped(Exception):  # noqa: N818
    """Somebody asked to stop; what has arrived is kept."""


def fetch(url: str, path: Path, size: int, md5: str, received: Received, say: Say, stop: threading.Event) -> None:
    """Download a file; it is at `path` only when it is whole and right.

    What has arrived lies in `<path>.part` meanwhile, survives a kill, and is gone on with by the next call.

    Args:
        url: where from.
        path: where to.
        size: its published size in bytes.
        md5: its published MD5.
        received: called with the number of bytes that each chunk added; negative where they count no more.
        say: called with what a user may want to know.
        stop: ends the download when set.

    Raises:
        DataError: the server does not have the file, has another one, or stays unreachable.
        DiskError: the file cannot be written.
        Stopped: `stop` was set.
    """
    with _Part(partial_path(path)) as part:
        if part.size > size:
            part.restart()
        furthest, failures = part.size, 0
        while part.size < size:
            wait = 0.0
            try:
                _receive(url, part, size, received, say, stop)
                trouble = f"the connection broke off after {part.size:,} of {size:,} bytes"
            except urllib.error.HTTPError as error:
                error.close()
                if error.code not in _PASSING:
                    _refused(url, error)
                trouble, wait = f"the server answers {error.code} {error.reason}", _asked_wait(error)
            except (OSError, HTTPException) as error:
                trouble = str(error) or type(error).__name__
            if part.size >= size:
                break
            failures = 0 if part.size > furthest else failures + 1
            furthest = max(furthest, part.size)
            if failures > len(WAITS):
                raise DataError(
                    f"{url} could not be fetched in {failures} tries in a row: {trouble}",
                    f"{part.size:,} of {size:,} bytes have arrived and are kept",
                    "Run the same command again later; it goes on from there",
                )
            say(f"{path.name}: {trouble}; trying again")
            if stop.wait(max(wait, WAITS[max(failures, 1) - 1])):
                raise Stopped
        found = part.md5()
        if found != md5:
            part.discard()
            raise DataError(
                f"{url} has the MD5 {found}",
                f"The published one is {md5}, so the file was damaged on its way, or is another; it has been removed",
                "Run the same command again to fetch it anew",
            )
        part.publish(path)


def partial_path(path: Path) -> Path:
    """Where a file lies as long as it is not whole."""
    return path.with_name(f"{path.name}.part")


class _Part:
    """The bytes that have arrived, on disk, with their running MD5."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._writing():
            # Unbuffered, so that a full disk is noticed here, and not when the file is closed.
            self._file = FileIO(path, "a+")
        self._file.seek(0)
        self._digest = hashlib.file_digest(self._file, _md5)
        self.size = self._file.seek(0, os.SEEK_END)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, data: bytes) -> None:
        rest = memoryview(data)
        with self._writing():
            while rest:
                rest = rest[self._file.write(rest) :]
        self._digest.update(data)
        self.size += len(data)

    def restart(self) -> None:
        self._file.truncate(0)
        self._digest, self.size = _md5(), 0

    def md5(self) -> str:
        return self._digest.hexdigest()

    def publish(self, path: Path) -> None:
        with self._writing():
            os.fsync(self._file.fileno())
            self.path.replace(path)

    def discard(self) -> None:
        self.path.unlink()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DiskError(
                f"{self.path} cannot be written: {error.strerror}",
                "What has arrived is kept",
                "Make room or correct the permissions, then run the same command again; it goes on from there",
            ) from error


def _receive(url: str, part: _Part, size: int, received: Received, say: Say, stop: threading.Event) -> None:
    """One connection: append what it brings, from where the part ends, until all is there or it breaks off."""
    request = urllib.request.Request(url, headers=_HEADERS)
    if part.size:
        request.add_header("Range", f"bytes={part.size}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        _check_length(url, response, part, size)
        if part.size and response.status != HTTPStatus.PARTIAL_CONTENT:
            say(f"{part.path.name}: the server cannot go on after {part.size:,} bytes; starting over")
            received(-part.size)
            part.restart()
        # read1 gives what is there, so that a slow connection shows progress and can be stopped.
        while part.size < size and (data := response.read1(CHUNK)):
            if stop.is_set():
                raise Stopped
            data = data[: size - part.size]
            part.append(data)
            received(len(data))


def _check_length(url: str, response: HTTPResponse, part: _Part, size: int) -> None:
    """Make sure, before anything is written, that the answer belongs to the file."""
    content_range = response.headers.get("Content-Range", "")
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        right = content_range == f"bytes {part.size}-{size - 1}/{size}"
    else:
        right = response.headers.get("Content-Length", str(size)) == str(size)
    if not right:
        raise DataError(
            f"{url} is announced with Content-Length {response.headers.get('Content-Length')}"
            + (f" and Content-Range {content_range}" if content_range else ""),
            f"The published file has {size:,} bytes",
            "See what the address answers in a browser: a proxy or login page may stand in between",
        )


def _refused(url: str, error: urllib.error.HTTPError) -> NoReturn:
    raise DataError(
        f"The server answers {error.code} {error.reason} for {url}",
        "The published archives are at <url>/<record>/files/<name>",
        "See whether the address works in a browser, and correct url=... if you gave another one",
    ) from error


def _asked_wait(error: urllib.error.HTTPError) -> float:
    """Seconds that the server asks to wait."""
    asked = error.headers.get("Retry-After", "")
    return min(float(asked), LONGEST_WAIT) if asked.isdecimal() else 0.0


def _md5(data: bytes = b"") -> "hashlib._Hash":
    return hashlib.md5(data, usedforsecurity=False)  # what the repository publishes; against damage, not malice
