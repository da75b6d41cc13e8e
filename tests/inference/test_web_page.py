"""The page in a real browser, as a user meets it, and what is refused before it is served."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

import sedcrnn
from sedcrnn.errors import ClipError, MissingExtraError
from sedcrnn.inference.web_page import import_gradio, likeliest_scenes, look_at
from sedcrnn.web import main

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1600"),
    *("--no-first-run", "--disable-quic", "--disable-background-networking", "--disable-component-update"),
    "--disable-sync",
]
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
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
        yield lines[0].split()[0]
        assert len(list(files.glob("sedcrnn-web-*"))) == 1
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
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    chromium = webdriver.Chrome(options, Service(executable_path=DRIVER))
    yield chromium
    chromium.quit()


class Visitor:
    """Somebody who sees and clicks."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser

    def wait(self, condition):
        """Until it holds; what the page has just replaced does not count."""
        waiting = WebDriverWait(self.browser, 120, ignored_exceptions=[StaleElementReferenceException])
        return waiting.until(lambda _: condition())

    def find(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def seen(self, selector):
        return [element for element in self.find(selector) if element.is_displayed()]

    def read(self, selector) -> str:
        """The text, as soon as there is any."""
        return self.wait(lambda: "\n".join(element.text for element in self.seen(selector)))

    def drop(self, path: Path) -> None:
        self.wait(lambda: [place.send_keys(str(path)) for place in self.find("#clip input[type=file]")])

    def take_back(self) -> None:
        self.wait(lambda: [button.click() for button in self.seen("#clip button[aria-label=Clear]")[:1]])
        self.wait(lambda: not self.seen("#table"))

    def width(self, selector) -> int:
        """Of a figure as the browser has decoded it, in pixels."""
        images = self.seen(f"{selector} img")
        return images and self.browser.execute_script("return arguments[0].naturalWidth", images[0])

    def asked(self) -> set[str]:
        """Every address that the page has asked for."""
        events = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return {request["request"]["url"] for request in sent if request["documentURL"].startswith("http")}


@pytest.mark.slow
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs the Debian packages chromium and chromium-driver")
def test_a_visitor_drops_a_clip_and_sees_its_scenes_and_why_a_broken_one_cannot_be_shown(
    page, browser, make_checkpoint, write_media, tmp_path
):
    clip = write_media(tmp_path / "a clip.mp4")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:2000])
    prediction = sedcrnn.load(make_checkpoint("fusion")).predict(clip)
    visitor = Visitor(browser)
    browser.get(page)
    assert visitor.read("h1") == "Scenes of a clip"
    assert not visitor.seen("#table")

    visitor.drop(clip)
    assert visitor.wait(lambda: visitor.width("#timeline")) == 1080
    assert visitor.wait(lambda: visitor.width("#inputs")) == 1500
    cells = visitor.read("#table").splitlines()[-16:]
    assert cells[::4] == ["audio", "visual", "early", "late"]
    for head, cell in zip(prediction.probabilities, cells[1::4], strict=True):
        mean = prediction.probabilities[head].mean(0)
        assert cell == f"{prediction.scenes[mean.argmax()]} {mean.max():.2f}"
    answer = visitor.read("#answer")
    assert answer.startswith(prediction.top(1)[0][0])
    assert "The late head's answer" in answer
    assert "(mean over 3 s)" in answer

    visitor.take_back()
    visitor.drop(broken)
    alert = visitor.read("[role=alert]")
    assert "'broken.mp4' cannot be read" in alert
    assert "Fetch or convert the file again" in alert
    assert str(tmp_path) not in alert
    assert not visitor.seen("#table")

    asked = visitor.asked()
    assert page in asked
    assert {address for address in asked if not address.startswith((page, page.rstrip("/"), "data:", "blob:"))} == set()


@pytest.mark.parametrize(
    ("tracks", "heads", "note"),
    [
        ({"audio": 0}, ["visual"], "The file has no audio: the visual head answers without it."),
        ({"video": 0}, ["audio"], "The file has no video: the audio head answers without it."),
        ({"video": 2}, ["audio", "visual", "early", "late"], "The file has 3 s of audio and 2 s of video"),
    ],
)
def test_what_a_clip_lacks_is_said_and_the_heads_that_can_answer_do(
    tracks, heads, note, make_checkpoint, write_media, tmp_path
):
    predictor = sedcrnn.load(make_checkpoint("fusion"))
    summary, table, *figures = look_at(predictor, write_media(tmp_path / "clip.mp4", **tracks), tmp_path)
    assert [row[0] for row in table] == heads
    assert note in summary
    for figure in figures:
        assert Path(figure).read_bytes().startswith(b"\x89PNG")


def test_the_table_has_the_three_likeliest_scenes_of_each_head(make_checkpoint, write_media, tmp_path):
    prediction = sedcrnn.load(make_checkpoint("audio")).predict(write_media(tmp_path / "clip.mp4"))
    mean = prediction.probabilities["audio"].mean(0)
    best = mean.argsort()[:-4:-1]
    assert likeliest_scenes(prediction) == [["audio", *(f"{prediction.scenes[i]} {mean[i]:.2f}" for i in best)]]


def test_a_clip_of_less_than_a_second_is_refused(make_checkpoint, write_media, tmp_path):
    with pytest.raises(ClipError, match="lasts"):
        look_at(
            sedcrnn.load(make_checkpoint("audio")), write_media(tmp_path / "clip.mp4", video=0.5, audio=0.5), tmp_path
        )


def test_a_port_in_use_ends_the_command_with_one_paragraph(make_checkpoint, port, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", port)):
        monkeypatch.setattr(sys, "argv", ["web", f"run={make_checkpoint('audio')}", f"port={port}"])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 1
    shown = capsys.readouterr().err
    assert f"port={port} of 127.0.0.1 cannot be used" in shown
    assert "Traceback" not in shown


def test_without_gradio_the_extra_is_named(monkeypatch, tmp_path):
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR", "no_proxy"):
        monkeypatch.setenv(name, "")
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sedcrnn\[web\]'"):
        import_gradio(tmp_path)
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
