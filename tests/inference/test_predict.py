"""The predict command as a user meets it."""

import csv
import json
import re

import numpy as np
import pytest

from sedcrnn import predict
from sedcrnn.datasets.clips import TAU_SCENES
from sedcrnn.inference.file_prediction import Prediction, certainty, overview, summary, table
from tests.commands import exit_code
from tests.fuzz.known_media import Film, write


@pytest.fixture
def run_command(monkeypatch, capsys):
    """Arguments -> exit code, standard output and standard error."""

    def run(*arguments):
        return exit_code(monkeypatch, predict, *arguments), *capsys.readouterr()

    return run


def prediction(seconds: int = 3, **changes) -> Prediction:
    values = np.random.default_rng(0).dirichlet(np.ones(3), seconds)
    given = {
        "path": "a.mp4",
        "scenes": ("bus", "park", "tram"),
        "head": "late",
        "probabilities": {"late": values},
        "tracks": {"audio": seconds, "video": seconds},
    }
    return Prediction(**given | changes)


def test_a_folder_with_a_broken_file(run_command, make_checkpoint, write_media, tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    write_media(media / "a.mp4", 2, 2)
    write_media(media / "b.m4a", 0, 2)
    (media / "broken.mp4").write_bytes((media / "a.mp4").read_bytes()[:3000])
    out = tmp_path / "out"
    written = [f"json={out / 'all.json'}", f"csv={out / 'all.csv'}", f"plot={out / 'plots'}"]
    code, out_text, error = run_command(f"run={make_checkpoint('fusion')}", media, *written, "top=2")
    assert code == 1
    assert "Error: 1 of 3 files could not be predicted." in error
    assert re.search(r"Not predicted:\n  .*broken\.mp4' is truncated", error)
    answer = re.search(r"^a\.mp4: ([\w ]+) \(([01]\.\d\d), not calibrated\), 2 s$", out_text, re.MULTILINE)
    assert re.search(
        r"^b\.m4a: .*\nAnswer of the audio head: .*\nThe file has no video: the audio head answers without it\.$",
        out_text,
        re.MULTILINE,
    )
    assert re.search(
        rf"^The answers for 2 files:\n  a\.mp4  {re.escape(answer[0][7:])}\n  b\.m4a", out_text, re.MULTILINE
    )
    content = json.loads((out / "all.json").read_text())
    assert [file["path"] for file in content["files"]] == [str(media / "a.mp4"), str(media / "b.m4a")]
    assert list(content["unreadable"]) == ["broken.mp4"]
    assert content["scenes"] == list(TAU_SCENES)
    late = np.array(content["files"][0]["probabilities"]["late"])
    np.testing.assert_allclose(list(content["files"][0]["clip"]["late"].values()), late.mean(0))
    assert answer[1] == TAU_SCENES[late.mean(0).argmax()].replace("_", " ")
    assert float(answer[2]) == pytest.approx(late.mean(0).max(), abs=0.00501)
    with (out / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 4 + 2
    last = [float(rows[7][scene]) for scene in TAU_SCENES]
    assert (rows[7]["second"], rows[7]["head"]) == ("1", "late")
    np.testing.assert_allclose(last, late[1], rtol=1e-5)
    first = TAU_SCENES[late[0].argmax()].replace("_", " ")
    assert re.search(rf"^ +0  {first} +{late[0].max():.3f}  [\w ]+ +\d\.\d+$", out_text, re.MULTILINE)
    assert sorted(path.name for path in (out / "plots").iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.mp4"], "'run' is not set"),
        (["run=gone", "{media}"], "There is no checkpoint at gone"),
        (["run={run}"], "No files are named"),
        (["run={run}", "{empty}"], "holds no media files"),
        (["run={run}", "{media}", "head=lates"], "nearest is 'audio'"),
        (["run={run}", "{media}", "top=0"], "top is 0"),
        (["run={run}", "{media}", "tpo=2"], "There is no config key 'tpo'"),
        (["run={run}", "{media}", "json={empty}"], "is a folder"),
        (["run={run}", "{media}", "{media}", "plot=a.png"], "is one figure, for 2 files"),
    ],
)
def test_misuse_is_one_paragraph(run_command, make_checkpoint, write_media, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.wav").touch()
    places = {"run": make_checkpoint("audio"), "media": tmp_path / "a.wav", "empty": tmp_path / "empty"}
    code, out, error = run_command(*(argument.format(**places) for argument in arguments))
    assert code == 1
    assert all("are not calibrated" in line for line in out.splitlines())  # which is known before the heads are
    paragraph = error.partition("\nError: ")[2].strip()
    assert words in paragraph
    assert "\n" not in paragraph


def answer(probabilities: list[float], **changes) -> Prediction:
    """A prediction of two seconds alike, calibrated unless said otherwise."""
    scenes = ("street_traffic", "metro_station", "tram")
    values = {"late": np.array([probabilities] * 2)}
    return prediction(2, **{"scenes": scenes, "probabilities": values, "temperatures": {"late": 1.5}} | changes)


def test_the_summary_says_the_answer_and_how_sure_it_is():
    assert summary(answer([0.93, 0.05, 0.02])) == "street traffic (0.93, sure), 2 s"
    assert summary(answer([0.1, 0.75, 0.15])) == "metro station (0.75, likely), 2 s"
    assert summary(answer([0.21, 0.38, 0.41])) == "unsure: tram 0.41 or metro station 0.38, 2 s"
    assert summary(answer([0.93, 0.05, 0.02], temperatures={})) == "street traffic (0.93, not calibrated), 2 s"
    assert list(map(certainty, (0.9, 0.899, 0.6, 0.599))) == ["sure", "likely", "likely", "unsure"]
    both = [answer([0.93, 0.05, 0.02]), answer([0.1, 0.75, 0.15])]
    assert list(overview(["a.mp4", "longer.mp4"], both)) == [
        "The answers for 2 files:",
        "  a.mp4       street traffic (0.93, sure), 2 s",
        "  longer.mp4  metro station (0.75, likely), 2 s",
    ]


def test_tables_say_what_was_left_out_and_whether_they_are_calibrated():
    values = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]])
    raw = prediction(2, tracks={"audio": 5, "video": 2}, probabilities={"late": values})
    lines = list(table(raw, "a.mp4", 1))
    assert lines[:3] == [
        "a.mp4: park (0.50, not calibrated), 2 s",
        "Answer of the late head: raw probabilities, for the whole file the mean over its seconds.",
        "The file has 5 s of audio and 2 s of video: only the seconds that have both are predicted.",
    ]
    assert [line.split()[0] for line in lines[3:]] == ["second", "0", "1", "all"]
    lines = list(table(answer([0.93, 0.05, 0.02]), "a.mp4", 1))
    assert "calibrated probabilities (temperature 1.50)" in lines[1]
    assert lines[-1] == "    all  street traffic 0.930"


def test_damage_is_passed_over_and_told_or_refused(run_command, make_checkpoint, tmp_path, caplog):
    film = Film("mp4", "aac", "libx264", seconds=4)
    path = tmp_path / "12:30.mp4"
    content = bytearray(write(tmp_path / "a.mp4", film).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 700] = bytes(700)
    path.write_bytes(content)
    run = f"run={make_checkpoint('fusion')}"
    code, out, _ = run_command(run, path, "json=" + str(tmp_path / "all.json"))
    assert code == 0
    assert "damaged piece(s) of audio. In their place is silence." in caplog.text
    assert "damaged piece(s) of video. In their place is the picture before." in caplog.text
    assert "4 s" in out
    code, _, error = run_command(run, path, "damage=stop")
    assert code == 1
    assert "cannot be read: Invalid data" in error
