"""The page in a real browser, as a user meets it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

import sedcrnn
from sedcrnn.inference.web_answers import answer_in_words
from tests.chromium import chromium, needs_browser

FLAGS = [
    *("--window-size=1280,1600", "--mute-audio", "--autoplay-policy=no-user-gesture-required"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@pytest.fixture
def run(make_checkpoint, request) -> Path:
    """Of the network that the page shows: one label to a clip, or, with a parameter, several."""
    return make_checkpoint("fusion", multi_label=getattr(request, "param", False))


@pytest.fixture
def page(run, port, tmp_path) -> Iterator[str]:
    """Address of the page of the real command, which removes its files when it ends."""
    files = tmp_path / "files"
    files.mkdir()
    # A proxy that nobody serves: whatever does not stay on this computer fails.
    environment = {**os.environ, "TMPDIR": str(files), "http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    command = [sys.executable, "-m", "sedcrnn.web", f"run={run}", f"port={port}"]
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
    assert process.returncode == 130, shown
    assert "Traceback" not in shown
    assert not list(files.glob("sedcrnn-web-*"))


@pytest.fixture
def browser(tmp_path) -> Iterator[webdriver.Chrome]:
    """One that reaches this computer alone."""
    with chromium(tmp_path / "profile", *FLAGS) as browser:
        yield browser


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
@needs_browser
def test_a_visitor_drops_a_clip_plays_it_and_jumps_and_sees_why_a_broken_one_cannot_be_shown(
    page, browser, run, write_media, tmp_path
):
    clip = write_media(tmp_path / "a clip.mp4")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:2000])
    prediction = sedcrnn.load(run).predict(clip)
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
    assert "'broken.mp4' is truncated" in alert
    assert "Fetch or convert the file again" in alert
    assert str(tmp_path) not in alert
    assert not visitor.seen("main")

    asked = visitor.asked()
    assert page in asked
    assert {address for address in asked if not address.startswith((page, f"blob:{page}", "data:"))} == set()
    assert browser.get_log("browser") == []  # neither errors nor what the policy refuses


@pytest.mark.slow
@needs_browser
def test_a_visitor_tries_an_example_and_a_sound_that_the_browser_cannot_play(page, browser, run, tau_root, tmp_path):
    visitor = Visitor(browser)
    browser.get(page)
    assert visitor.read("#examples button").splitlines() == ["bus", "park"]
    visitor.seen("#examples button")[1].click()
    clip = [tau_root / folder / f"park-lisbon-13-1013.{kind}" for folder, kind in (("video", "mp4"), ("audio", "wav"))]
    prediction = sedcrnn.load(run).predict(*clip)
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


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("run", [True], indirect=True)
def test_of_a_multi_label_network_a_visitor_sees_all_scenes_that_reach_their_thresholds(
    page, browser, run, write_media, tmp_path
):
    clip = write_media(tmp_path / "clip.mp4")
    prediction = sedcrnn.load(run).predict(clip)
    visitor = Visitor(browser)
    browser.get(page)
    visitor.drop(clip)
    assert visitor.read("#answer h2") == answer_in_words(prediction)[0]
    answered = {scene.replace("_", " ") for scene, _ in prediction.answers()}
    assert 1 < len(answered) < 10
    assert set(visitor.read("#likeliest .answered span:nth-of-type(1)").splitlines()) == answered
    assert set(visitor.read("#timeline .names .best").splitlines()) == answered
    assert visitor.read("#orange") == "Orange: the scenes that reach their thresholds in a second."
    # What is drawn: the colour of likely scenes where they reach 1/2, the threshold of a network that says none.
    order = np.argsort(-prediction.clip["late"], kind="stable")
    reached = prediction.probabilities["late"][:, order].T >= 0.5
    draw = f"[...document.querySelector('{CHART} canvas').getContext('2d').getImageData(0, 0, 3, 10).data]"
    pixels = np.reshape(visitor.ask(draw), (10, 3, 4)).astype(int)
    drawn = pixels[..., 3] > 25  # fainter ones have lost their colour to rounding
    np.testing.assert_array_equal((pixels[..., 0] > pixels[..., 2])[drawn], reached[drawn])
    assert (reached & drawn).any()
    assert (~reached & drawn).any()
    first = [f"{scene.replace('_', ' ')} {100 * value:.0f} %" for scene, value in prediction.answers(second=0)]
    assert visitor.read(".now") == f"0:00: {', '.join(first)}"
    heads = dict(zip(visitor.read("#heads b").splitlines(), visitor.read("#heads .found").splitlines(), strict=True))
    for head, said in heads.items():
        found = prediction.answers(head=head)
        assert said == " + ".join(f"{scene.replace('_', ' ')} {100 * value:.0f} %" for scene, value in found)
    assert browser.get_log("browser") == []
