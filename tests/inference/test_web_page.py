"""What the server of the page answers, and whom it refuses."""

import http.client
import json
import socket
import sys
import threading
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace

import pytest

import sedcrnn
from sedcrnn.inference.web_answers import describe_answer
from sedcrnn.inference.web_page import HOST, Page, Visit
from sedcrnn.inference.web_server import VisitServer
from sedcrnn.web import main


@pytest.fixture
def served(make_checkpoint, tmp_path) -> Iterator[SimpleNamespace]:
    """The server in this process: its page, its port, and a function that sends it a request."""
    with VisitServer(HOST, 0) as server:
        port = server.server_address[1]
        (tmp_path / "page").mkdir()
        page = Page(sedcrnn.load(make_checkpoint("fusion")), tmp_path / "page", port, max_upload_mb=1)
        server.RequestHandlerClass = partial(Visit, page)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def send(method, address, body=None, **headers):
            connection = http.client.HTTPConnection(HOST, port, timeout=60)
            connection.request(method, address, body, {name.replace("_", "-"): one for name, one in headers.items()})
            response = connection.getresponse()
            return response.status, response.read()

        yield SimpleNamespace(page=page, port=port, send=send)
        server.shutdown()
        thread.join()


def lines_of(content: bytes) -> list[dict]:
    return [json.loads(line) for line in content.splitlines()]


def test_a_clip_is_answered_as_by_predict_and_not_kept(served, write_media, tmp_path):
    clip = write_media(tmp_path / "clip.mp4")
    status, content = served.send("POST", "/predict?name=clip.mp4", clip.read_bytes())
    *progress, last = lines_of(content)
    assert status == 200
    assert progress == [{"done": 3, "of": 3}]
    expected = describe_answer(served.page.predictor, served.page.predictor.predict(clip, reasons=True))
    assert last == {"answer": expected}
    assert [head["name"] for head in expected["heads"]] == ["late", "audio", "visual", "early"]
    assert [head["about"] for head in expected["heads"]][1:3] == ["From the audio alone.", "From the video alone."]
    status, content = served.send("POST", "/inputs?name=clip.mp4", clip.read_bytes())
    assert (status, content[:4]) == (200, b"\x89PNG")
    assert list(served.page.folder.iterdir()) == []


def test_errors_name_the_clip_as_the_visitor_does(served, write_media, tmp_path):
    short = write_media(tmp_path / "short.mp4", video=0.5, audio=0.5).read_bytes()
    assert lines_of(served.send("POST", "/predict?name=..%2Fmy%20clip.mp4", short)[1])[-1]["error"].startswith(
        "'my clip.mp4' lasts 0.5"
    )
    status, content = served.send("POST", "/inputs?name=a.mp4", b"no clip")
    assert status == 422
    assert json.loads(content)["error"].startswith("'a.mp4' cannot be read")
    assert list(served.page.folder.iterdir()) == []


def test_the_page_answers_to_its_own_address_alone(served):
    own, foreign = f"http://127.0.0.1:{served.port}", "http://elsewhere.example"
    assert served.send("GET", "/")[0] == 200
    assert served.send("GET", "/", Host=f"localhost:{served.port}")[0] == 200
    for host in ("elsewhere.example", f"elsewhere.example:{served.port}", "127.0.0.1:1"):
        assert served.send("GET", "/network.json", Host=host)[0] == 403
    assert served.send("POST", "/predict", b"x", Origin=foreign)[0] == 403
    assert served.send("GET", "/examples/0", Origin=foreign)[0] == 403
    assert lines_of(served.send("POST", "/predict", b"x", Origin=own)[1])[0]["error"].startswith("'clip' cannot be")


def test_what_is_too_large_or_unknown_is_refused(served):
    status, content = served.send("POST", "/predict", Content_Length="1000001")
    assert status == 413
    assert "1 MB are the most" in json.loads(content)["error"]
    assert served.send("POST", "/predict", Content_Length="many")[0] == 411
    assert served.send("POST", "/elsewhere", b"x")[0] == 404
    for address in ("/elsewhere", "/web_page.py", "/../web.py", "/examples/2", "/examples/-1", "/examples/"):
        assert served.send("GET", address)[0] == 404


def test_clips_are_answered_one_at_a_time_and_who_waits_is_told(served, write_media, tmp_path):
    clip = write_media(tmp_path / "clip.mp4", video=0).read_bytes()
    with served.page.turn:
        threading.Timer(1.5, served.page.turn.release).start()
        *first, last = lines_of(served.send("POST", "/predict", clip)[1])
        served.page.turn.acquire()
    assert {"waiting": True} in first
    assert last["answer"]["heads"][0]["name"] == "audio"


def test_who_leaves_ends_the_prediction_and_the_next_clip_is_answered(served, write_media, tmp_path, monkeypatch):
    clip = write_media(tmp_path / "clip.mp4", video=0).read_bytes()
    ended = threading.Event()

    def leave(path, watch):
        try:
            while True:
                watch(1, 3)
        finally:
            ended.set()

    with monkeypatch.context() as patched:
        patched.setattr(served.page, "answer", leave)
        connection = socket.create_connection((HOST, served.port))
        head = f"POST /predict HTTP/1.0\r\nHost: 127.0.0.1:{served.port}\r\nContent-Length: {len(clip)}\r\n\r\n"
        connection.sendall(head.encode() + clip)
        assert connection.recv(1)
        connection.close()
        assert ended.wait(60)
    assert "answer" in lines_of(served.send("POST", "/predict", clip)[1])[-1]
    assert list(served.page.folder.iterdir()) == []


def test_a_port_in_use_ends_the_command_with_one_paragraph(make_checkpoint, port, monkeypatch, capsys):
    with socket.create_server((HOST, port)):
        monkeypatch.setattr(sys, "argv", ["web", f"run={make_checkpoint('audio')}", f"port={port}"])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 1
    shown = capsys.readouterr().err
    assert f"port={port} of 127.0.0.1 cannot be used" in shown
    assert "Traceback" not in shown
