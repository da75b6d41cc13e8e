"""What the README shows: pictures of what the commands make, the report, the local page and a timeline.

make pictures
python -m sedcrnn.benchmarks.pictures --run demo_fusion --report runs/report.html
Needs selenium (extra `dev`), and Debian's packages chromium and chromium-driver, or others of these names.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import create_server

import av
import numpy as np
import soundfile
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

import sedcrnn
from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.synthetic.drawing import mp4
from sedcrnn.errors import ConfigError, DataError, SedcrnnError
from sedcrnn.inference.example_clips import as_one_file, unseen_clips
from sedcrnn.plotting.answer_figures import write_timeline
from sedcrnn.runs.files import atomic

SCREEN = {"width": 1120, "height": 1120, "deviceScaleFactor": 1, "mobile": False}
PICTURE_WIDTH = 900  # pixels
QUALITY = 80
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
         "--no-first-run", "--disable-background-networking", "--mute-audio")  # fmt: skip


def take_pictures(run: str, report: Path, output: Path) -> list[Path]:
    """Write report.webp, web_page.webp and timeline.webp to a folder.

    Raises:
        ConfigError: no browser.
        DataError: no report, or no clips of the run's test fold.
    """
    if not report.is_file():
        raise DataError(f"There is no report at {report}", "The report is shown as it is", "Run `sedcrnn report`")
    predictor = sedcrnn.load(run)
    clips = unseen_clips(predictor.model.path)
    if not clips:
        raise DataError(
            f"No clips of the test fold of {run} are on this machine",
            "The page is shown with some of them",
            "Train the demo here: make demo",
        )
    with tempfile.TemporaryDirectory(prefix="sedcrnn-pictures-") as folder:
        # Two scenes, so that there is something to see: three clips of the first, and one of the last.
        clip = one_after_another([*clips[:3], clips[-1]], Path(folder))
        timeline = Path(folder) / "timeline.png"
        write_timeline(timeline, predictor.predict(clip), clip.name)
        with chromium(Path(folder)) as browser:
            browser.get(report.resolve().as_uri())
            pictures = {"report": browser.get_screenshot_as_png()}
            with served(str(predictor.model.path), folder) as address:
                pictures["web_page"] = page_with_answer(browser, address, clip)
        pictures["timeline"] = timeline.read_bytes()
    return [write_picture(picture, output / f"{name}.webp") for name, picture in pictures.items()]


def one_after_another(clips: Sequence[Clip], folder: Path) -> Path:
    """Some clips of one size and rate, joined into one file."""
    samples, frames = [], []
    for number, clip in enumerate(clips):
        with av.open(as_one_file(clip, folder / f"{number}.mp4")) as container:
            samples += [(block.to_ndarray(), block.sample_rate) for block in container.decode(audio=0)]
        with av.open(clip.video) as container:
            rate = int(container.streams.video[0].average_rate or 1)
            frames += [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    video, audio = folder / "frames.mp4", folder / "samples.wav"
    video.write_bytes(mp4(np.stack(frames), rate))
    soundfile.write(audio, np.concatenate([block.reshape(-1, 2) for block, _ in samples]), samples[0][1], "PCM_24")
    return as_one_file(Clip("recording", audio, video, "", "", "", ""), folder / "recording.mp4")


@contextmanager
def chromium(folder: Path) -> Iterator[webdriver.Chrome]:
    """The browser of this machine, with a profile of its own."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        raise ConfigError(
            "There is no chromium with its chromedriver on the PATH",
            "A browser draws the pages",
            "Install them: apt install chromium chromium-driver",
        )
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options, Service(executable_path=driver))
    try:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SCREEN)
        yield browser
    finally:
        browser.quit()


@contextmanager
def served(run: str, folder: str) -> Iterator[str]:
    """The address of the local page, as its command serves it; a folder takes its temporary files."""
    with create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = [sys.executable, "-m", "sedcrnn.web", f"run={run}", f"port={port}"]
    environment = {**os.environ, "TMPDIR": folder}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(line.split()[0] for line in process.stdout if line.startswith("http"))
        finally:
            process.terminate()


def page_with_answer(browser: webdriver.Chrome, address: str, clip: Path) -> bytes:
    """The page in the middle of a clip, as a PNG."""
    browser.get(address)
    waiting = WebDriverWait(browser, 120)
    waiting.until(lambda _: browser.find_element(By.ID, "limit").text)
    browser.find_element(By.ID, "clip").send_keys(str(clip))
    waiting.until(lambda _: browser.execute_script("return playable && document.querySelector('.wave') !== null"))
    browser.execute_script("seek(0.6 * answer.seconds)")
    waiting.until(lambda _: browser.execute_script("return !media.seeking && media.readyState > 1"))
    time.sleep(1)  # the player's wheel fades away
    return browser.get_screenshot_as_png()


def write_picture(png: bytes, path: Path) -> Path:
    """Write a PNG as a small WebP of at most `PICTURE_WIDTH`."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.thumbnail((PICTURE_WIDTH, image.height))
    with atomic(path) as temporary:
        image.save(temporary, "webp", quality=QUALITY, method=6)
    return path


def main() -> None:
    """Take the pictures and say how large they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="demo_fusion", help="a run of a fusion network")
    parser.add_argument("--report", type=Path, default=Path("runs/report.html"))
    parser.add_argument("--output", type=Path, default=Path("docs/pictures"))
    arguments = parser.parse_args()
    try:
        pictures = take_pictures(arguments.run, arguments.report, arguments.output)
    except SedcrnnError as error:
        sys.exit(f"Error: {error}")
    for path in pictures:
        print(f"Written: {path}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
