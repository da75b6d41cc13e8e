"""Each of three cities left out in turn: begun with two of them, gone on with, pooled and reported."""

import math
from collections import defaultdict
from pathlib import Path

import pytest

from sedcrnn.reporting.collection import collect, missing_folds
from sedcrnn.reporting.report_files import write_report
from sedcrnn.reporting.tables import RowSpec, TableSpec, make_tables
from sedcrnn.runs.checkpoints import load_checkpoint
from sedcrnn.runs.records import read_config, read_record
from tests.conftest import write_sound, write_video
from tests.training.small_pipelines import Work

CITIES = ("lisbon", "lyon", "oslo")
SCENES = ("bus", "park")

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """Twelve clips of one second: two locations of each scene in each city. One city is left out, then another, then
    each in turn; what the report says of what is missing is kept after every command."""
    place = tmp_path_factory.mktemp("cities")
    for folder in ("audio", "video", "evaluation_setup"):
        (place / "tau" / folder).mkdir(parents=True)
    rows = []
    for number in range(12):
        scene, city = SCENES[number % 2], CITIES[number // 2 % 3]
        name = f"{scene}-{city}-{number}-{1000 + number}"
        write_sound(place / "tau" / "audio" / f"{name}.wav", scene == "bus", number, seconds=1)
        write_video(place / "tau" / "video" / f"{name}.mp4", (180, 40, 40), number, seconds=1)
        rows.append(f"audio/{name}.wav\tvideo/{name}.mp4\t{scene}")
    for file, own in (("fold1_train.csv", rows[:8]), ("fold1_evaluate.csv", rows[8:])):
        text = "\n".join(["filename_audio\tfilename_video\tscene_label", *own])
        (place / "tau" / "evaluation_setup" / file).write_text(text)
    work = Work(place, "data=tau2021", f"data.root={place / 'tau'}", "data.validation_fraction=0.3")
    for number, city in enumerate(("oslo", "lisbon", "all")):
        done = work.pipeline(f"data.leave_out_city={city}")
        assert done.returncode == 0, done.stderr
        (place / f"told-{number}").write_text("\n".join(missing_folds(collect(work.runs))))
        (place / f"output-{number}").write_text(done.stdout)
    return work


def test_of_one_city_nothing_is_said_and_of_two_which_is_missing(work: Work) -> None:
    told = [(work.place / f"told-{number}").read_text() for number in range(3)]
    assert told == [
        "",
        "audio, seed 0: 2 of 3 cities (missing: lyon), each shown by itself. They are no result of the whole before "
        "the pipeline has ended: sedcrnn pipeline with data.leave_out_city=all",
        "",
    ]


def test_cities_that_were_there_are_found(work: Work) -> None:
    output = (work.place / "output-2").read_text()
    assert output.count("reusing") == 2
    assert output.count("audio: training in") == 1
    assert "tau2021, oslo held out, test fold" in (work.place / "output-0").read_text()
    assert "tau2021, 3 cities pooled: 12 clips, each held out once" in output
    assert "Accuracy on 1-s windows by fold, audio head: lisbon: " in output


def test_every_city_is_held_out_by_a_network_that_learnt_nothing_of_it(work: Work) -> None:
    assert [fold["name"] for fold in work.folds(0)] == list(CITIES)
    for fold, rows in zip(work.folds(0), work.rows(0).values(), strict=True):
        run, city = work.runs / fold["run"], fold["name"]
        assert read_config(run)["data"]["leave_out_city"] == city
        assert (read_record(run) or {})["cities"] == list(CITIES)
        assert {row["location"].partition("-")[0] for row in rows} == {city}
        assert len({row["clip"] for row in rows}) == 4
        learnt_from = load_checkpoint(str(run)).locations
        assert learnt_from
        assert city not in {location.partition("-")[0] for location in learnt_from}


def test_the_row_is_of_all_predictions_together(work: Work) -> None:
    right, losses = defaultdict(list), defaultdict(list)
    scenes = None
    for row in [row for rows in work.rows(0).values() for row in rows]:
        scenes = scenes or list(row)[list(row).index("head") + 1 :]
        probabilities = {scene: float(row[scene]) for scene in scenes}
        right[row["label"]].append(max(scenes, key=lambda scene: probabilities[scene]) == row["label"])
        losses[row["label"]].append(-math.log(probabilities[row["label"]]))
    report = work.report(0)
    window = report["heads"]["audio"]["window"]
    assert {scene: len(found) for scene, found in right.items()} == {"bus": 6, "park": 6}
    assert window["macro_accuracy"] == pytest.approx(sum(sum(one) / len(one) for one in right.values()) / 2)
    assert window["macro_log_loss"] == pytest.approx(sum(sum(one) / len(one) for one in losses.values()) / 2)
    assert (report["clips"], report["pooled"], report["of"]["data"]["name"]) == (12, "3 cities", "tau2021")
    assert work.pooled(0).name.startswith("audio-s0-3-cities-")


def test_the_report_has_one_row_and_each_city_by_itself(work: Work, tmp_path: Path) -> None:
    (table,) = make_tables(collect(work.runs), [TableSpec(title="Networks", rows=[RowSpec("audio", "Audio")])])
    (row,) = table.rows
    assert list(row.runs) == [0]
    assert row.runs[0].run.folder == work.pooled(0)
    assert table.runs[0].run.data_set == "tau2021, 3 cities"
    write_report(work.runs, None, None, [], publish=False, page=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    for city in CITIES:
        assert f"{city} (4 clips)" in page
