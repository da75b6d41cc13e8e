"""The page in a real browser, wide and narrow: it needs nothing else, fits, and shows what results.csv says."""

import base64
import csv
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from statistics import mean, stdev

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from sedcrnn.reporting.collection import collect
from sedcrnn.reporting.page import build_page
from sedcrnn.reporting.report_files import results_text
from tests.reporting.conftest import AUDIO

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND",
]
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs the Debian packages chromium and chromium-driver"
)


@pytest.fixture
def browser(tmp_path) -> Iterator[webdriver.Chrome]:
    """A Chromium that reaches nothing, with a new profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    chromium = webdriver.Chrome(options, Service(executable_path=DRIVER))
    yield chromium
    chromium.quit()


def shown_table(browser: webdriver.Chrome, title: str) -> dict[str, list[str]]:
    """Label -> the first line of each cell, of the table under a heading."""
    heading = browser.find_element(By.XPATH, f"//h3[text()='{title}']")
    rows = heading.find_elements(By.XPATH, "./following-sibling::div[1]//tbody/tr")
    return {
        row.find_element(By.TAG_NAME, "th").text: [
            (cell.text.splitlines() or [""])[0] for cell in row.find_elements(By.TAG_NAME, "td")
        ]
        for row in rows
    }


@pytest.mark.slow
@needs_browser
def test_the_page_fits_asks_for_nothing_and_shows_what_the_results_say(runs, tables_of, browser, tmp_path):
    tables = tables_of(runs)
    page = tmp_path / "report.html"
    page.write_text(build_page(tables, collect(runs)), encoding="utf-8")
    scores = defaultdict(list)
    for line in csv.DictReader(results_text(tables).splitlines()):
        if line["state"] == "evaluated":
            for score, scale in (("macro_accuracy", 100), ("macro_log_loss", 1)):
                scores[line["row"], line["level"], score].append(scale * float(line[score]))

    for width in (1280, 420):
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get(page.as_uri())
        assert browser.execute_script("return window.innerWidth") == width
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        # Whatever is wider scrolls inside a box of its own, and is not cut off.
        cut = (
            "return [...document.querySelectorAll('section > *')].filter(e => e.scrollWidth > e.clientWidth + 1"
            " && getComputedStyle(e).overflowX !== 'auto').map(e => e.outerHTML.slice(0, 80))"
        )
        assert browser.execute_script(cut) == []
        broken = "return [...document.images].filter(e => !e.complete || e.naturalWidth < 100).length"
        assert browser.execute_script(broken) == 0
        assert browser.execute_script("return document.images.length") == 1 + 3 + 3  # bars, confusions, reliability

        shown = shown_table(browser, "Scores")
        assert list(shown) == ["Audio", "Visual", "Fusion"]
        assert [cells[0] for cells in shown.values()] == ["2", "1 of 2", "2"]
        for label, cells in shown.items():
            columns = [(level, score) for level in ("window", "clip") for score in ("macro_accuracy", "macro_log_loss")]
            for (level, score), told in zip(columns, cells[1:], strict=True):
                values, digits = scores[label, level, score], 1 if score == "macro_accuracy" else 3
                spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
                assert told == f"{mean(values):.{digits}f}{spread}"
    assert shown_table(browser, "Gain of fusion over the best single modality") == {
        "Fusion": ["+25.0", "missing", "+25.0", "1"]
    }
    assert shown_table(browser, "Calibration")["Audio"][0] == "2.00 ± 0.00"
    assert shown_table(browser, "Cost")["Fusion"] == ["4,000", "900", "0.00", "2.0 ± 0.7"]
    assert shown_table(browser, "Runs")["visual-s1-abcd"][2] == "unfinished"
    warnings = browser.find_element(By.CSS_SELECTOR, ".warnings").text
    assert "Seeds are missing in: Networks (1 of 3 rows)." in warnings
    links = {link.text: link.get_attribute("href") for link in browser.find_elements(By.CSS_SELECTOR, "nav a")}
    assert links == {
        title.text: f"{page.as_uri()}#{title.get_attribute('id')}" for title in browser.find_elements(By.TAG_NAME, "h2")
    }
    assert "Runs without scores: visual-s1-abcd." in warnings

    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    assert {url for url in sent if not url.startswith(("data:", "chrome:", page.as_uri()))} == set()
    assert page.as_uri() in sent


def test_the_page_names_no_address_and_says_how_checkpoints_were_selected(runs, tables_of):
    text = build_page(tables_of(runs), collect(runs))
    assert not re.search(r"https?://|//\w+\.\w+/|src=\"(?!data:)|@import|url\(", text)
    for encoded in re.findall(r"base64,([^\"]+)", text):
        drawn = base64.b64decode(encoded).decode()
        assert not re.search(r"(?:href|src)=\"(?!#|data:)|@import", drawn)
        assert "<text" in drawn  # text that stays text
    assert "8 windows of 1 s in 4 clips from 4 locations, 2 scenes" in text
    assert "selected on a part of the training fold that shares no location with the rest" in text
    assert "sedcrnn 0.1.0, torch 2.13.0" in text


def test_names_cannot_write_markup(write_run, tables_of, tmp_path):
    write_run("audio", 0, AUDIO, name="<script>alert(1)</script>")
    text = build_page(tables_of(tmp_path / "runs"), collect(tmp_path / "runs"))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
