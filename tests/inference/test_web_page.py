"""The page in a real browser, as a user meets it; what the server answers, and whom it refuses."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

import sedcrnn
from sedcrnn.inference.file_prediction import Prediction
from sedcrnn.inference.web_answers import answer_in_words, describe_answer, safe_name
from sedcrnn.inference.web_page import HOST, Page, Visit
from sedcrnn.web import main

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1600"),
    *("--no-first-run", "--disable-quic", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--mute-audio", "--autoplay-policy=no-user-gesture-required"),
]
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
in_a_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs the Debian packages chromium and chromium-driver"
)


@pytest.fixture
def port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def page(make_checkpoint, port, tmp_path) -> Iterator[str]:
    """Address of the page of the real command, which removes its files when it ends."""
    files = tmp_path / "files"
    files.mkdir()
    # A proxy that nobody serves: whatever does not stay on this computer fails.
    environment = {**os.environ, "TMPDIR": str(files), "http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    command = [sys.executable, "-m", "sedcrnn.web", f"run={make_checkpoint('fusion')}", f"port={port}"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        lines = [process.stdout.readline()]
        while lines[-1] and not lines[-1].startswith("http"):
            lines.append(process.stdout.readline())
        yield lines[-1].split()[0]
        (folder,) = files.glob("sedcrnn-web-*")
        assert {path.name for path in folder.iterdir()} <= {"example-0.mp4", "example-1.mp4"}
        process.send_signal(signal.SIGINT)
        lines += process.stdout.readlines()
    shown = "".join(lines)
    assert process.returncode == 0, shown
    assert "Traceback" not in shown
    assert not list(files.glob("sedcrnn-web-*"))


@pytest.fixture
def browser(tmp_path) -> Iterator[webdriver.Chrome]:
    """A Chromium that reaches this computer alone, with a new profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, OFFLINE, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    chromium = webdriver.Chrome(options, Service(executable_path=DRIVER))
    yield chromium
    chromium.quit()


class Visitor:
    """Somebody who sees and clicks."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser

    def wait(self, condition):
        """Until it holds; what the page has just replaced does not count."""
        waiting = WebDriverWait(self.browser, 120, 0.1, ignored_exceptions=[StaleElementReferenceException])
        return waiting.until(lambda _: condition())

    def seen(self, selector):
        return [one for one in self.browser.find_elements(By.CSS_SELECTOR, selector) if one.is_displayed()]

    def read(self, selector) -> str:
        """The text, as soon as there is any."""
        return self.wait(lambda: "\n".join(element.text for element in self.seen(selector)))

    def ask(self, script, *arguments):
        """What a line of JavaScript says."""
        return self.browser.execute_script(f"return {script}", *arguments)

    def drop(self, path: Path) -> None:
        self.browser.find_element(By.ID, "clip").send_keys(str(path))

    def cursor(self) -> float:
        """Where the large timeline's cursor stands, from 0 to 1."""
        place = "(c => (c.left + c.width / 2 - t.left) / t.width)(document.querySelector('{0} .cursor').{1})"
        rectangle = "getBoundingClientRect()"
        script = f"(t => {place})(document.querySelector('{{0}}').{rectangle})".format(CHART, rectangle)
        return self.ask(script)

    def asked(self) -> set[str]:
        """Every address that the page has asked for."""
        events = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return {request["request"]["url"] for request in sent if request["documentURL"].startswith("http")}

    def fits(self, width: int) -> bool:
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        page = "document.documentElement"
        return self.ask(f"innerWidth === {width} && {page}.scrollWidth <= {page}.clientWidth")


CHART = "#timeline .track:not(.wave)"


@pytest.mark.slow
@in_a_browser
def test_a_visitor_drops_a_clip_plays_it_and_jumps_and_sees_why_a_broken_one_cannot_be_shown(
    page, browser, make_checkpoint, write_media, tmp_path
):
    clip = write_media(tmp_path / "a clip.mp4")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:2000])
    prediction = sedcrnn.load(make_checkpoint("fusion")).predict(clip)
    visitor = Visitor(browser)
    browser.get(page)
    assert visitor.read("h1") == "Which scene is this?"
    assert visitor.read("#limit") == "Up to 1,000 MB."
    assert not visitor.seen("main")

    visitor.drop(clip)
    assert [visitor.read("#answer h2"), visitor.read("#certainty")] == list(answer_in_words(prediction))
    order = np.argsort(-prediction.clip["late"], kind="stable")
    names = visitor.read("#timeline .names:not(.wave)").splitlines()
    assert names == [prediction.scenes[scene].replace("_", " ") for scene in order]
    # What is drawn: the opacity of a pixel for each scene and second, in the order of the rows.
    draw = f"[...document.querySelector('{CHART} canvas').getContext('2d').getImageData(0, 0, 3, 10).data]"
    pixels = np.reshape(visitor.ask(draw), (10, 3, 4))
    np.testing.assert_allclose(pixels[..., 3] / 255, prediction.probabilities["late"][:, order].T, atol=0.003)
    likeliest = prediction.probabilities["late"][:, order].argmax(1)
    np.testing.assert_array_equal(pixels[likeliest, range(3), 3], pixels[..., 3].max(0))
    heads = [row.split()[0] for row in visitor.read("#heads b").splitlines()]
    assert heads == ["late", "audio", "visual", "early"]

    visitor.wait(lambda: visitor.ask("playable"))
    assert visitor.cursor() == pytest.approx(0, abs=0.01)
    visitor.ask("media.play()")
    visitor.wait(lambda: visitor.cursor() > 0.1)
    visitor.ask("media.pause()")
    visitor.wait(lambda: visitor.cursor() == pytest.approx(visitor.ask("media.currentTime") / 3, abs=0.01))
    chart = visitor.seen(CHART)[0]
    ActionChains(browser).move_to_element_with_offset(chart, chart.size["width"] // 4, 0).click().perform()
    assert visitor.ask("media.currentTime") == pytest.approx(2.25, abs=0.02)
    visitor.wait(lambda: visitor.cursor() == pytest.approx(0.75, abs=0.01))
    best = prediction.top(1, second=2)[0][0].replace("_", " ")
    assert visitor.read(".now").startswith(f"0:02: {best} ")
    chart.send_keys(Keys.ARROW_LEFT)
    assert visitor.ask("media.currentTime") == pytest.approx(1.25, abs=0.02)

    visitor.seen("#inputs summary")[0].click()
    assert visitor.wait(lambda: visitor.ask("document.querySelector('#inputs img').naturalWidth")) == 1500
    visitor.ask("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert all(visitor.fits(width) for width in (1280, 420, 320))

    visitor.drop(broken)
    alert = visitor.read("[role=alert]")
    assert "'broken.mp4' cannot be read" in alert
    assert "Fetch or convert the file again" in alert
    assert str(tmp_path) not in alert
    assert not visitor.seen("main")

    asked = visitor.asked()
    assert page in asked
    assert {address for address in asked if not address.startswith((page, f"blob:{page}", "data:"))} == set()
    assert browser.get_log("browser") == []  # neither errors nor what the policy refuses


@pytest.mark.slow
@in_a_browser
def test_a_visitor_tries_an_example_and_a_sound_that_the_browser_cannot_play(
    page, browser, make_checkpoint, tau_root, tmp_path
):
    visitor = Visitor(browser)
    browser.get(page)
    assert visitor.read("#examples button").splitlines() == ["bus", "park"]
    visitor.seen("#examples button")[1].click()
    clip = [tau_root / folder / f"park-lisbon-13-1013.{kind}" for folder, kind in (("video", "mp4"), ("audio", "wav"))]
    prediction = sedcrnn.load(make_checkpoint("fusion")).predict(*clip)
    assert visitor.read("#truth") == "The data set says: park."
    shown = visitor.ask("answer.heads[0].probabilities")
    np.testing.assert_allclose(shown, prediction.probabilities["late"], atol=1e-12)
    assert visitor.wait(lambda: visitor.ask("playable && media.videoWidth")) == 64

    unplayable = tmp_path / "sound.au"
    soundfile.write(unplayable, *soundfile.read(clip[1]))
    visitor.drop(unplayable)
    assert visitor.wait(lambda: "cannot play it" in visitor.read("figcaption"))
    assert visitor.read("#notes") == "The file has no video: the audio head answers without it."
    visitor.seen(CHART)[0].send_keys(Keys.ARROW_RIGHT)
    assert visitor.cursor() == pytest.approx(0.5, abs=0.01)


@pytest.fixture
def served(make_checkpoint, tmp_path) -> Iterator[SimpleNamespace]:
    """The server in this process: its page, its port, and a function that sends it a request."""
    with ThreadingHTTPServer((HOST, 0), BaseHTTPRequestHandler) as server:
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
    expected = describe_answer(served.page.predictor, served.page.predictor.predict(clip))
    assert last == {"answer": expected}
    assert [head["name"] for head in expected["heads"]] == ["late", "audio", "visual", "early"]
    assert [head["about"] for head in expected["heads"]][1:3] == ["From the audio alone.", "From the video alone."]
    status, content = served.send("POST", "/inputs?name=clip.mp4", clip.read_bytes())
    assert (status, content[:4]) == (200, b"\x89PNG")
    assert list(served.page.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("tracks", "heads", "note"),
    [
        ({"audio": 0}, ["visual"], "The file has no audio: the visual head answers without it."),
        ({"video": 0}, ["audio"], "The file has no video: the audio head answers without it."),
        ({"video": 2}, ["late", "audio", "visual", "early"], "The file has 3 s of audio and 2 s of video"),
    ],
)
def test_what_a_clip_lacks_is_said_and_the_heads_that_can_answer_do(
    tracks, heads, note, make_checkpoint, write_media, tmp_path
):
    predictor = sedcrnn.load(make_checkpoint("fusion"))
    answer = describe_answer(predictor, predictor.predict(write_media(tmp_path / "clip.mp4", **tracks)))
    assert [head["name"] for head in answer["heads"]] == heads
    assert answer["notes"][0].startswith(note)


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


@pytest.mark.parametrize(
    ("values", "calibrated", "headline", "sentence"),
    [
        ([0.95, 0.04, 0.01], True, "metro station", "The network is sure of it: its probability is 0.95"),
        ([0.7, 0.2, 0.1], True, "probably metro station", "It is likely, and not certain: its probability is 0.70"),
        ([0.5, 0.1, 0.4], True, "metro station or tram?", "The network is unsure: the probability of metro station"),
        ([0.95, 0.04, 0.01], False, "metro station", "Its probability is 0.95, the mean over 2 s. It is not"),
    ],
)
def test_the_answer_is_as_sure_as_its_calibrated_probability(values, calibrated, headline, sentence):
    heads = {"audio": np.array([values, values])}
    scenes, temperatures = ("metro_station", "park", "tram"), {"audio": 1.5} if calibrated else {}
    prediction = Prediction(Path("a.wav"), scenes, "audio", heads, {"audio": 2}, temperatures=temperatures)
    said = answer_in_words(prediction)
    assert said[0] == headline
    assert said[1].startswith(sentence)


def test_names_of_clips_are_names_of_files():
    assert safe_name("a clip.mp4") == "a clip.mp4"
    assert safe_name("../../etc/passwd") == "passwd"
    assert safe_name("C:\\clips\\a\x00\n.mp4") == "a.mp4"
    assert [safe_name(name) for name in ("", "..", "a/", "\x00")] == ["clip"] * 4
    assert len(safe_name("😀" * 300 + ".mp4").encode()) < 256


def test_a_port_in_use_ends_the_command_with_one_paragraph(make_checkpoint, port, monkeypatch, capsys):
    with socket.create_server((HOST, port)):
        monkeypatch.setattr(sys, "argv", ["web", f"run={make_checkpoint('audio')}", f"port={port}"])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 1
    shown = capsys.readouterr().err
    assert f"port={port} of 127.0.0.1 cannot be used" in shown
    assert "Traceback" not in shown
