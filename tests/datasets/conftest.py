"""A web server on this machine that serves files, with the faults that a test asks for; archives for it; and names as
in the official lists of TAU 2021."""

import csv
import hashlib
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sedcrnn.datasets import fetch
from sedcrnn.datasets.download import Archive


@dataclass
class Faults:
    """What goes wrong with one file. Lists are used up, one entry per request."""

    ranges: bool = True  # whether the server can go on in the middle
    answers: list[int] = field(default_factory=list)  # status codes instead of the file
    retry_after: str | None = None
    breaks: list[int] = field(default_factory=list)  # bytes after which the connection is closed
    stalls_after: int | None = None  # bytes after which nothing more comes until the server is released
    announced: int | None = None  # a wrong Content-Length


class Server:
    """`files` and `faults` by path; `requests` holds (path, Range) of each request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, Faults] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.released = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.released.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()

    def ranges_of(self, name: str) -> list[str | None]:
        return [asked for path, asked in self.requests if path.endswith(name)]

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                asked = self.headers.get("Range")
                server.requests.append((self.path, asked))
                assert self.headers["User-Agent"].startswith("sedcrnn/")
                faults = server.faults.get(self.path, Faults())
                content = server.files.get(self.path)
                if faults.answers or content is None:
                    self.send_response(faults.answers.pop(0) if faults.answers else 404)
                    if faults.retry_after is not None:
                        self.send_header("Retry-After", faults.retry_after)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and faults.ranges else 0
                body = content[start:]
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
                self.send_header("Content-Length", str(faults.announced or len(body)))
                self.end_headers()
                end = faults.breaks.pop(0) if faults.breaks else len(body)
                if faults.stalls_after is not None:
                    self.wfile.write(body[: faults.stalls_after])
                    self.wfile.flush()
                    server.released.wait()
                    return
                self.wfile.write(body[:end])

        return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def faults() -> type[Faults]:
    return Faults


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries in quick succession: three more after the first."""
    monkeypatch.setattr(fetch, "WAITS", (0.01, 0.01, 0.01))


def zip_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as contents:
        for name, content in members.items():
            contents.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def publish(server: Server) -> Callable[..., Archive]:
    """Put a zip file with the given members (or any bytes) on the server; the entry of the list that names it."""

    def publish(part: str, content: dict[str, bytes] | bytes, of: str = "development") -> Archive:
        packed = content if isinstance(content, bytes) else zip_of(content)
        name = f"TAU-2021-{of}.{part}.zip"
        server.files[f"/7/files/{name}"] = packed
        return Archive(of, "7", name, len(packed), hashlib.md5(packed).hexdigest())

    return publish


@pytest.fixture
def write_list() -> Callable[[Path, list[Archive]], Path]:
    """A list of archives as the package holds it."""

    def write(path: Path, archives: list[Archive]) -> Path:
        rows = [f"{a.set},{a.record},{a.name},{a.bytes},{a.md5}" for a in archives]
        path.write_text("\n".join(["split,zenodo_record,archive,bytes,md5", *rows, ""]))
        return path

    return write


@pytest.fixture(scope="session")
def tau2021_names() -> dict[str, list[str]]:
    """Fold -> names of clips like those of the official lists: as many of every scene at every location."""
    names: dict[str, list[str]] = {"train": [], "test": []}
    with Path(__file__).with_name("tau2021_locations.csv").open() as file:
        for row in csv.DictReader(file):
            made = (f"{row['scene']}-{row['location']}-{segment}" for segment in range(int(row["clips"])))
            names[row["fold"]] += made
    return names
