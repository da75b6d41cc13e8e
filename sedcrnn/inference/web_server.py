"""The server of the local page: a bounded number of visits, each of a bounded time, and a folder that is left empty."""

import fcntl
import io
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socket import AF_INET, AF_INET6, SHUT_RDWR, socket
from threading import BoundedSemaphore, Timer
from typing import Any

VISITS = 16
"""The most requests that are answered at a time, those that wait for their turn among them."""

_PREFIX = "sedcrnn-web-"
_BUSY = b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"


class VisitServer(ThreadingHTTPServer):
    """Answers each request in a thread of its own, and refuses those beyond `VISITS`.

    Raises:
        OSError: the address is in use, is not this computer's, or needs more rights.
    """

    def __init__(self, host: str, port: int) -> None:
        self.address_family = AF_INET6 if ":" in host else AF_INET
        self.places = BoundedSemaphore(VISITS)
        super().__init__((host, port), BaseHTTPRequestHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a visit, if there is a place."""
        if self.places.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        with suppress(OSError):
            request.setblocking(False)
            request.send(_BUSY)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The visit itself, which gives its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.release()


class Limited(io.RawIOBase):
    """The next bytes of a stream, and no more."""

    def __init__(self, stream: Any, size: int) -> None:
        self.stream, self.left = stream, size

    def read(self, size: int = -1) -> bytes:
        """As of a file."""
        content: bytes = self.stream.read(min(size, self.left))
        self.left -= len(content)
        return content


@contextmanager
def within(seconds: float, connection: socket) -> Iterator[None]:
    """Hang up on a visitor who has not sent everything in this time: one byte a minute would keep a place for ever."""

    def hang_up() -> None:
        with suppress(OSError):
            connection.shutdown(SHUT_RDWR)

    timer = Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this computer alone."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


@contextmanager
def upload_folder() -> Iterator[Path]:
    """A folder that nobody else may read, removed at the end, for what visitors bring. What servers that were killed
    have left is removed first.

    A server holds a lock on its folder as long as it lives, and has it before the folder gets the name that others look
    for.
    """
    place = Path(tempfile.gettempdir())
    for left in place.glob(f"{_PREFIX}*"):
        _remove_left(left)
    made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}"))
    number = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
    folder = place / f"{_PREFIX}{secrets.token_hex(8)}"
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        made = made.rename(folder)
        yield folder
    finally:
        shutil.rmtree(made, ignore_errors=True)  # a prediction that has not ended may still write
        os.close(number)


def _remove_left(folder: Path) -> None:
    """Remove a folder if it is this user's, and no server holds it."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(number).st_uid == os.getuid():
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
        finally:
            os.close(number)
