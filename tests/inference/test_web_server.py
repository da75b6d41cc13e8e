"""The page beyond this computer, visitors who mean harm or dawdle, and what is left by servers that were killed."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace

import pytest

import sedcrnn
from sedcrnn.inference import web_page
from sedcrnn.inference.web_page import HOST, Page, Visit
from sedcrnn.inference.web_server import VISITS, VisitServer, is_loopback, upload_folder

TOKEN = "a-token-of-some-length"
LINES = "{} HTTP/1.0\r\nHost: 127.0.0.1:{}\r\n"


@pytest.fixture
def serve(make_checkpoint, tmp_path) -> Iterator[Callable[..., SimpleNamespace]]:
    """Serve a page in this process, with a token or without."""
    with VisitServer(HOST, 0) as server:
        port = server.server_address[1]
        predictor = sedcrnn.load(make_checkpoint("audio"))

        def begin(token: str = "") -> SimpleNamespace:
            page = Page(predictor, tmp_path, port, max_upload_mb=2, token=token)
            server.RequestHandlerClass = partial(Visit, page)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            return SimpleNamespace(page=page, port=port, server=server)

        yield begin
        server.shutdown()


def answer(port: int, method: str, address: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    connection.request(method, address, body, {name.replace("_", "-"): one for name, one in headers.items()})
    response = connection.getresponse()
    return response.status, response.read()


def test_beyond_this_computer_nothing_is_answered_without_the_token(serve, write_media, tmp_path_factory):
    served = serve(TOKEN)
    clip = write_media(tmp_path_factory.mktemp("clip") / "clip.mp4", video=0).read_bytes()
    get, post = partial(answer, served.port, "GET"), partial(answer, served.port, "POST")
    for address in (
        "/",
        "/network.json",
        "/web_page.js",
        "/examples/0",
        f"/{TOKEN[:-1]}/",
        f"/{TOKEN}x/",
        "//",
        "/%20/",
    ):
        assert get(address)[0] == 403, address
    assert post("/predict", clip)[0] == 403
    assert list(served.page.folder.iterdir()) == []
    for address in ("/", "/network.json", "/web_page.js", "/web_page.css"):
        assert get(f"/{TOKEN}{address}", Host="my-computer.example:1")[0] == 200, address
    assert post(f"/{TOKEN}/predict", clip, Host="a.example", Origin="http://elsewhere.example")[0] == 403
    status, content = post(f"/{TOKEN}/predict", clip, Host="a.example", Origin="http://a.example")
    assert status == 200
    assert "answer" in json.loads(content.splitlines()[-1])
    assert served.page.examples == [], "the clips of the data set are not for everybody"
    assert served.page.address == f"http://{HOST}:{served.port}/{TOKEN}/"


def test_which_addresses_are_this_computers_alone():
    assert [host for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost") if not is_loopback(host)] == []
    assert [host for host in ("0.0.0.0", "::", "192.168.1.2", "a.example") if is_loopback(host)] == []


def test_who_dawdles_is_hung_up_on(serve, monkeypatch):
    monkeypatch.setattr(web_page, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(web_page, "SLOWEST", 1e9)
    served = serve()
    whole = LINES.format("POST /predict", served.port) + "Content-Length: 1000000\r\n\r\n"
    for beginning in ("G", "GET / HTTP/1.0\r\nHost: ", whole):
        with socket.create_connection((HOST, served.port)) as connection:
            connection.settimeout(20)
            connection.sendall(beginning.encode())
            began = time.monotonic()
            while connection.recv(1000):
                pass
            assert time.monotonic() - began < 10
    assert answer(served.port, "GET", "/")[0] == 200
    assert list(served.page.folder.iterdir()) == []


def test_more_visits_than_there_are_places_for_are_refused_until_one_is_free(serve):
    served = serve()
    held = [socket.create_connection((HOST, served.port)) for _ in range(VISITS)]
    for connection in held:
        connection.sendall(b"G")
    deadline = time.monotonic() + 20
    while (status := raw(served.port)) != b"HTTP/1.0 503" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status == b"HTTP/1.0 503"
    for connection in held:
        connection.close()
    while (status := raw(served.port)) != b"HTTP/1.0 200" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status == b"HTTP/1.0 200"


def raw(port: int) -> bytes:
    """The beginning of what a plain request is answered; nothing where the connection was closed meanwhile."""
    with socket.create_connection((HOST, port)) as connection:
        try:
            connection.sendall(LINES.format("GET /", port).encode() + b"\r\n")
            return connection.recv(12)
        except ConnectionError:
            return b""


def test_odd_requests_are_refused_and_the_next_is_answered(serve):
    served = serve()
    post = LINES.format("POST /predict", served.port)
    for request, status in {
        f"{post}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n": b"411",
        f"{post}Content-Length: -5\r\n\r\n": b"411",
        f"{post}Content-Length: 99999999999999999999\r\n\r\n": b"413",
        "GET / HTTP/1.0\r\n\r\n": b"403",
        f"{LINES.format('GET /../../etc/passwd', served.port)}\r\n": b"404",
        f"{LINES.format('DELETE /', served.port)}\r\n": b"501",
        f"GET /{'x' * 70_000} HTTP/1.0\r\n\r\n": b"414",
        f"{LINES.format('GET /', served.port)}{'A: b' * 20_000}\r\n\r\n": b"431",
        "\x00\x01\x02\r\n\r\n": b"400",
    }.items():
        with socket.create_connection((HOST, served.port)) as connection:
            connection.sendall(request.encode())
            assert status in connection.recv(1000), request[:60]
    assert answer(served.port, "GET", "/")[0] == 200


def test_a_clip_that_the_disk_has_no_room_for_is_refused(serve, monkeypatch):
    served = serve()
    monkeypatch.setattr(web_page.shutil, "disk_usage", lambda _: SimpleNamespace(free=web_page.ROOM + 9))
    status, content = answer(served.port, "POST", "/predict", b"0123456789")
    assert status == 507
    assert "no room" in json.loads(content)["error"]
    status, content = answer(served.port, "POST", "/predict", b"012345678")
    assert "'clip' cannot be read" in json.loads(content.splitlines()[-1])["error"]


def test_what_killed_servers_left_is_removed_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    other, left = tmp_path / "precious", tmp_path / "sedcrnn-web-left"
    for folder in (other, left / "upload"):
        folder.mkdir(parents=True)
        (folder / "clip.mp4").write_bytes(b"x")
    (tmp_path / "sedcrnn-web-link").symlink_to(other)
    (tmp_path / "sedcrnn-web-file").write_bytes(b"x")
    with upload_folder() as first:
        assert not left.exists()
        (first / "clip.mp4").write_bytes(b"x")
        with upload_folder() as second:
            assert (first / "clip.mp4").exists(), "of a server that lives"
            assert first.stat().st_mode & 0o777 == 0o700
        assert not second.exists()
    assert not first.exists()
    assert (other / "clip.mp4").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"precious", "sedcrnn-web-link", "sedcrnn-web-file"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_no_upload_outlives_the_server_or_its_next_start(number, make_checkpoint, port, tmp_path):
    command = [sys.executable, "-m", "sedcrnn.web", f"run={make_checkpoint('audio')}", f"port={port}"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        while not process.stdout.readline().startswith("http"):
            assert process.poll() is None
        return process

    with start() as process, socket.create_connection((HOST, port)) as connection:
        lines = LINES.format("POST /predict?name=private.mp4", port) + "Content-Length: 1000000\r\n\r\n"
        connection.sendall(lines.encode() + b"x" * 1000)
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob("private.mp4")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert list(tmp_path.rglob("private.mp4"))
        process.send_signal(number)
        assert process.wait(10) == (-9 if number == signal.SIGKILL else 128 + number)
    assert bool(list(tmp_path.rglob("private.mp4"))) == (number == signal.SIGKILL)
    if number == signal.SIGKILL:
        with start() as process:
            assert not list(tmp_path.rglob("private.mp4"))
            process.terminate()
    assert [path for path in tmp_path.iterdir() if path.name.startswith((".sedcrnn-web", "sedcrnn-web"))] == []
