"""The page in a real browser, wide and narrow: it needs nothing else, fits, and shows what results.csv says."""

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from statistics import mean, stdev

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from sedcrnn.reporting.collection import collect
from sedcrnn.reporting.headline import headline, headline_rows, latest
from sedcrnn.reporting.page import build_page
from sedcrnn.reporting.report_files import results_text
from tests.chromium import chromium, needs_browser
from tests.reporting.conftest import AUDIO, LATE, VISUAL


@pytest.fixture
def browser(tmp_path) -> Iterator[webdriver.Chrome]:
    """One that reaches nothing, not even this computer."""
    with chromium(tmp_path / "profile", "--host-resolver-rules=MAP * ~NOTFOUND") as browser:
        yield browser


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
    page.write_text(build_page(tables, collect(runs), page.parent), encoding="utf-8")
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
        small = "return [...document.querySelectorAll('figure svg')].filter(e => e.clientWidth < 100).length"
        assert browser.execute_script(small) == 0
        # Two of the answer; bars; and of each row its curves, confusion matrix and reliability diagram.
        assert browser.execute_script("return document.querySelectorAll('figure svg').length") == 2 + 1 + 3 * 3

        shown = shown_table(browser, "Scores")
        assert list(shown) == ["Audio", "Visual", "Fusion"]
        assert [cells[0] for cells in shown.values()] == ["2", "1", "2"]
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
    origins = shown_table(browser, "Runs")
    assert list(origins) == [f"{name}-abcd" for name in ("audio-s0", "audio-s1", "visual-s0", "fusion-s0", "fusion-s1")]
    assert origins["fusion-s1-abcd"][:3] == ["fusion", "1", "toys"]
    folded = browser.find_element(By.CSS_SELECTOR, "section:last-of-type details")
    assert folded.get_attribute("open") is None
    assert folded.text == "1 run folder without a row"
    folded.find_element(By.TAG_NAME, "summary").click()
    assert folded.text.splitlines()[1:] == ["visual-s1-abcd: unfinished"]
    link = folded.find_element(By.TAG_NAME, "a")
    assert (link.get_dom_attribute("href"), link.get_attribute("href")) == (
        "runs/visual-s1-abcd/",
        f"{(runs / 'visual-s1-abcd').as_uri()}/",
    )
    assert browser.find_elements(By.CSS_SELECTOR, ".warnings") == []
    links = {link.text: link.get_attribute("href") for link in browser.find_elements(By.CSS_SELECTOR, "nav a")}
    assert links == {
        title.text: f"{page.as_uri()}#{title.get_attribute('id')}" for title in browser.find_elements(By.TAG_NAME, "h2")
    }
    schemes = {"light": ["rgb(31, 35, 40)", "rgb(255, 255, 255)"], "dark": ["rgb(230, 237, 243)", "rgb(13, 17, 23)"]}
    for scheme, expected in schemes.items():
        wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)
        colours = "return [['figure svg text', 'fill'], ['body', 'backgroundColor']].map("
        colours += "([e, of]) => getComputedStyle(document.querySelector(e))[of])"
        assert browser.execute_script(colours) == expected

    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    assert {url for url in sent if not url.startswith(("data:", "chrome:", page.as_uri()))} == set()
    assert page.as_uri() in sent


def test_the_page_names_no_address_and_says_how_checkpoints_were_selected(runs, tables_of):
    text = build_page(tables_of(runs), collect(runs), runs)
    assert not re.search(r"https?://|//\w+\.\w+/|src=\"(?!data:)|@import|url\((?!#)", text)
    drawn = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert len(drawn) == 2 + 1 + 3 * 3
    for svg in drawn:
        assert not re.search(r"(?:href|src)=\"(?!#|data:)| id=\"(?:figure|axes)_", svg)
        assert "<text" in svg  # text that stays text
        assert "#000000" not in svg  # which could not be read on a dark page
    assert "8 windows of 1 s in 4 clips from 4 locations, 2 scenes" in text
    assert "selected on a part of the training fold that shares no location with the rest" in text
    assert "sedcrnn 0.1.0, torch 2.13.0" in text


def test_names_cannot_write_markup(write_run, tables_of, tmp_path):
    write_run("audio", 0, AUDIO, name="<script>alert(1)</script>")
    text = build_page(tables_of(tmp_path / "runs"), collect(tmp_path / "runs"), tmp_path)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_the_answer_stands_at_the_top_beside_what_it_is_made_of(runs, tables_of):
    tables = tables_of(runs)
    rows = headline_rows(latest(tables))
    assert [row.label for row in rows] == ["Audio", "Visual", "Early fusion", "Late fusion"]
    assert rows[-1].runs is tables[0].rows[2].runs
    # Of 8 windows 7 and 8; the fixture's heads are all alike. (0.260575 + 0.105361) / 2, and its 0.375278 and 0.287682.
    assert headline(rows) == (
        "Late fusion: 93.8 % of 1-s windows right (95 % interval over 4 locations: 87.5-100.0, mean of 2 seeds). "
        "That is +0.0 points against the better of audio and video alone. "
        "Log loss 0.183 raw; 0.331 calibrated, which is after temperature scaling."
    )


def test_the_answer_is_that_of_the_table_that_was_made_last(write_run, tables_of, tmp_path):
    write_run("fusion", 0, LATE)
    write_run("audio", 0, AUDIO, "own-s0-abcd", name="own", finished="2026-02-03T00:00:00+00:00")
    tables = tables_of(tmp_path / "runs")
    assert latest(tables).title == "Other runs"
    (row,) = headline_rows(latest(tables))
    assert row.label == "own"
    assert headline([row]).startswith("own: 62.5 % of 1-s windows right (95 % interval over 4 locations: 25.0-100.0).")


def test_one_seed_has_no_spread_and_nothing_speaks_of_one(write_run, tables_of, tmp_path):
    for kind, windows in (("audio", AUDIO), ("visual", VISUAL), ("fusion", LATE)):
        write_run(kind, 0, windows)
    folder = tmp_path / "runs"
    text = build_page(tables_of(folder), collect(folder), tmp_path)
    for word in ("±", "deviation", "whiskers", "over seeds", "all seeds", "per seed", "of several"):
        assert word not in text
    assert "a bootstrap over locations (1000 times), which is about other places.<" in text


def test_names_of_scenes_are_read_without_underscores(write_run, tables_of, tmp_path):
    run = write_run("audio", 0, AUDIO)
    for path in run.rglob("predictions.csv"):
        path.write_text(path.read_text().replace("park", "city_park"))
    text = build_page(tables_of(tmp_path / "runs"), collect(tmp_path / "runs"), tmp_path)
    assert "city park, taken for bus with" in text
    assert "city_park" not in text
