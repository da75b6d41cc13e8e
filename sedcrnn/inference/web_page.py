"""Clip dropped on a local page -> predictor -> the answer and its timeline, which the browser draws beside its player.

The page is served to this computer alone, unless another host is asked for, and asks nothing of any other. The clip
itself stays in the browser, which plays it; what is sent here is removed as soon as it has been answered.

Any site can make a browser send requests here. Those for another host or from another origin are refused. Where the
page is opened beyond this computer, by names that are not known here, a token in its address takes the place of the
host: nothing is answered without it.
"""

import errno
import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import gethostname, socket
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

import sedcrnn
from sedcrnn.datasets.clips import Clip
from sedcrnn.errors import ClipError, ConfigError, SedcrnnError
from sedcrnn.inference.example_clips import as_one_file, find_examples, thumbnail
from sedcrnn.inference.file_prediction import scene_in_words
from sedcrnn.inference.predictor import Predictor
from sedcrnn.inference.reasons import tracks_not_alone
from sedcrnn.inference.web_answers import describe_answer, describe_network, safe_name
from sedcrnn.inference.web_server import Limited, VisitServer, is_loopback, upload_folder, within
from sedcrnn.plotting.network_inputs import draw_file, drawable

HOST = "127.0.0.1"

FILES = {
    "/": ("web_page.html", "text/html; charset=utf-8"),
    "/web_page.css": ("web_page.css", "text/css; charset=utf-8"),
    "/web_page.js": ("web_page.js", "text/javascript; charset=utf-8"),
}
"""What the page is made of: address -> file beside this one, and its type."""

HEADERS = {
    # The browser itself refuses whatever is not of this address.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

FULL = "The disk of the computer that shows this page has no room for the clip."

SECONDS_DRAWN = 30
"""The most of a clip of which spectrogram and frames are drawn."""

MEGABYTE = 1_000_000
ROOM = 500 * MEGABYTE
"""What stays free of the disk beside an upload."""

HEAD_SECONDS, SLOWEST = 20, 0.1 * MEGABYTE
"""In which a request's lines have to be here, and bytes per second of a clip that come at least."""


def serve(run: str, port: int, max_upload_mb: int, calibrated: bool, device: str, host: str = HOST) -> None:
    """Serve the page until the process is asked to end. What was dropped on it is removed then.

    Raises:
        CheckpointError: no run, checkpoint or ONNX file.
        ConfigError: the port is in use, or needs more rights, or the host is not this computer.
    """
    try:
        server = VisitServer(host, port)  # before anything takes long
    except OSError as error:
        raise ConfigError(
            f"port={port} of {host} cannot be used: {error}",
            "An address of this computer, and a port that no other program uses; those below 1024 are the system's",
            f"Stop what uses it, or set another: port={7861 if port == 7860 else 7860}",
        ) from error
    token = "" if is_loopback(host) else secrets.token_urlsafe(16)
    with server, upload_folder() as folder:
        page = Page(sedcrnn.load(run, device, calibrated=calibrated), folder, port, max_upload_mb, host, token)
        server.RequestHandlerClass = partial(Visit, page)
        print(f"{page.address}  (Ctrl-C ends it)", flush=True)
        if token:
            print("Whoever knows this address can use the page, and reads along on the way: it is not encrypted.")
        server.serve_forever()


class Page:
    """What all visits share: one network, which answers one of them at a time, and a folder for what they bring.

    With a token, all addresses begin with it, and there are no examples: the clips of the data set are their owner's.
    """

    def __init__(
        self,
        predictor: Predictor,
        folder: Path,
        port: int,
        max_upload_mb: int,
        host: str = HOST,
        token: str = "",
    ) -> None:
        self.predictor, self.folder, self.max_upload_mb, self.token = predictor, folder, max_upload_mb, token
        named = f"[{host}]" if ":" in host else host
        self.hosts = {f"{name}:{port}" for name in (HOST, "localhost", named)}
        shown = gethostname() if host in ("0.0.0.0", "::") else named
        self.address = f"http://{shown}:{port}/{token}{'/' * bool(token)}"
        self.turn = Lock()
        self.examples = [] if token else find_examples(predictor.model.path)

    def inside(self, path: str) -> str | None:
        """A request's path within the page, from `/` on; None: it does not begin with the token."""
        if not self.token:
            return path
        given, _, rest = path[1:].partition("/")
        return f"/{rest}" if secrets.compare_digest(given.encode(), self.token.encode()) else None

    def description(self) -> dict[str, Any]:
        """The network, the limit, and the example clips."""
        examples = [{"name": clip.id, "scene": scene_in_words(clip.scene)} for clip in self.examples]
        has_inputs = bool(drawable(self.predictor.features))
        about = {"max_upload_mb": self.max_upload_mb, "has_inputs": has_inputs, "examples": examples}
        return {**describe_network(self.predictor), **about}

    def example(self, number: int) -> Path:
        """The file of an example clip."""
        path = self.folder / f"example-{number}.mp4"
        return path if path.is_file() else as_one_file(self.examples[number], path)

    def answer(self, clip: Path, watch: Callable[[int, int | None], object]) -> dict[str, Any]:
        """What the network says of a clip; `watch` is that of `Predictor.predict`, and errors are its errors."""
        reasons = not tracks_not_alone(self.predictor.model, self.predictor.features, self.predictor.heads[-1])
        return describe_answer(self.predictor, self.predictor.predict(clip, watch=watch, reasons=reasons))

    def inputs(self, clip: Path) -> bytes:
        """What the network gets of the beginning of a clip, as a PNG."""
        figure = clip.with_name(f".{clip.stem}-inputs.png")
        return draw_file(clip, None, figure, 0, SECONDS_DRAWN, drawable(self.predictor.features)).read_bytes()


class Visit(BaseHTTPRequestHandler):
    """One request. Answers to a clip come as lines of JSON, as soon as there is something to say:
    `waiting`, then `done` and `of` in seconds, then `answer` or `error`.
    """

    timeout = 60  # of a browser that neither sends nor takes anything
    server_version, sys_version = "sedcrnn", ""

    def __init__(self, page: Page, request: socket, address: Any, server: ThreadingHTTPServer) -> None:
        self.page = page
        super().__init__(request, address, server)

    def handle(self) -> None:
        """A visitor who leaves ends the visit, and what is being predicted for it."""
        with suppress(ConnectionError, TimeoutError), ExitStack() as self.arriving:
            self.arriving.enter_context(within(HEAD_SECONDS, self.connection))
            super().handle()

    def parse_request(self) -> bool:
        """Until the lines of the request are here, the time runs."""
        try:
            return super().parse_request()
        finally:
            self.arriving.close()

    def do_GET(self) -> None:
        """The page's files, what it says of the network, and the example clips."""
        address = self.page.inside(urlsplit(self.path).path) or ""
        folder, _, name = address[1:].partition("/")
        number, _, suffix = name.partition(".")
        if not self._is_ours():
            self._refuse(403, "This page is for the computer that it runs on. Open it by the address in its terminal.")
        elif address in FILES:
            file, kind = FILES[address]
            self._send((Path(__file__).parent / file).read_bytes(), kind)
        elif address == "/network.json":
            self._send(json.dumps(self.page.description()).encode())
        elif folder == "examples" and number.isdecimal() and int(number) < len(self.page.examples):
            clip = self.page.examples[int(number)]
            self._send_example(int(number), clip, suffix == "jpg")
        else:
            self._refuse(404, f"There is nothing at {address}.")

    def do_POST(self) -> None:
        """A clip to predict, or to draw; it is removed before the answer is sent."""
        query, address = urlsplit(self.path).query, self.page.inside(urlsplit(self.path).path) or ""
        size, limit = self.headers.get("Content-Length", ""), self.page.max_upload_mb
        if not self._is_ours():
            self._refuse(403, "This page is for the computer that it runs on, and for its own address.")
        elif address not in ("/predict", "/inputs"):
            self._refuse(404, f"There is nothing at {address}.")
        elif not size.isdecimal():
            self._refuse(411, "A clip comes with its size.")
        elif int(size) > limit * MEGABYTE:
            self._refuse(413, f"The clip has {int(size) / MEGABYTE:,.0f} MB, and {limit:,} MB are the most. "
                              "Cut it, or start the page with a larger max_upload_mb.")  # fmt: skip
        elif int(size) + ROOM > shutil.disk_usage(self.page.folder).free:
            self._refuse(507, FULL)
        else:
            name = safe_name(parse_qs(query).get("name", [""])[0])
            with TemporaryDirectory(dir=self.page.folder) as folder:
                clip = Path(folder) / name
                try:
                    self._receive(clip, int(size))
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    say: Callable[[], None] = partial(self._refuse, 507, FULL)
                else:
                    say = self._predict(clip) if address == "/predict" else self._draw(clip)
            say()

    def _predict(self, clip: Path) -> Callable[[], None]:
        self._begin(200, "application/x-ndjson")
        try:
            with self._turn():
                answer = self.page.answer(clip, lambda done, of: self._tell(done=done, of=of))
        except SedcrnnError as error:
            return partial(self._tell, error=in_words(error, clip))
        return partial(self._tell, answer=answer)

    def _draw(self, clip: Path) -> Callable[[], None]:
        try:
            with self.page.turn:
                return partial(self._send, self.page.inputs(clip), "image/png")
        except SedcrnnError as error:
            return partial(self._refuse, 422, in_words(error, clip))

    def _send_example(self, number: int, clip: Clip, as_picture: bool) -> None:
        try:
            if as_picture:
                self._send(thumbnail(clip), "image/jpeg")
            else:
                self._send(self.page.example(number).read_bytes(), "application/octet-stream")
        except ClipError as error:
            self._refuse(404, str(error))

    def _is_ours(self) -> bool:
        """Whether the page was asked for by its address, and by itself: other sites can make a browser ask, too."""
        origin, host = self.headers.get("Origin"), self.headers.get("Host")
        is_known = host in self.page.hosts or bool(self.page.token)
        return is_known and self.page.inside(self.path) is not None and origin in (None, f"http://{host}")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until no other clip is predicted, and say so meanwhile."""
        while not self.page.turn.acquire(timeout=1):
            self._tell(waiting=True)
        try:
            yield
        finally:
            self.page.turn.release()

    def _receive(self, clip: Path, size: int) -> None:
        with clip.open("wb") as file, within(HEAD_SECONDS + size / SLOWEST, self.connection):
            shutil.copyfileobj(Limited(self.rfile, size), file, MEGABYTE)
        if clip.stat().st_size < size:
            raise ConnectionResetError

    def _begin(self, status: int, kind: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **HEADERS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, content: bytes, kind: str = "application/json", status: int = 200) -> None:
        self._begin(status, kind, **{"Content-Length": str(len(content))})
        self.wfile.write(content)

    def _refuse(self, status: int, why: str) -> None:
        self._send(json.dumps({"error": why}).encode(), status=status)

    def _tell(self, **line: Any) -> None:
        self.wfile.write(json.dumps(line).encode() + b"\n")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: who visits the page sees what becomes of it."""


def in_words(error: SedcrnnError, clip: Path) -> str:
    """An error with the clip's own name, in place of where the page keeps it."""
    return str(error).replace(str(clip), clip.name)
