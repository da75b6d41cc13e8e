"""The predict command as a user meets it."""

import csv
import json
import re
import sys

import numpy as np
import pytest

from sedcrnn import predict
from sedcrnn.datasets.scenes import TAU_SCENES
from sedcrnn.errors import ConfigError
from sedcrnn.inference.file_prediction import Prediction
from sedcrnn.inference.media import Media
from sedcrnn.inference.prediction_text import picture_paths, table


@pytest.fixture
def run_command(monkeypatch, capsys):
    """Arguments -> exit code, standard output, and the error as one line."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["sedcrnn.predict", *map(str, arguments)])
        try:
            predict.main()
            code = 0
        except SystemExit as end:
            code = end.code
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def prediction(seconds: int = 3, **changes) -> Prediction:
    values = np.random.default_rng(0).dirichlet(np.ones(3), seconds)
    given = {
        "path": "a.mp4",
        "scenes": ("bus", "park", "tram"),
        "head": "late",
        "probabilities": {"late": values},
        "tracks": {"sound": seconds, "picture": seconds},
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
    code, told, error = run_command(f"run={make_checkpoint('fusion')}", media, *written, "top=2")
    assert code == 1
    assert "Error: 1 of 3 files could not be predicted." in error
    assert re.search(r"Not predicted:\n  .*broken\.mp4' cannot be read", error)
    assert "a.mp4: 2 s, late head\n" in told
    assert "b.m4a: 2 s, audio head\nIt has no picture: the audio network answers alone.\n" in told
    content = json.loads((out / "all.json").read_text())
    assert [file["path"] for file in content["files"]] == [str(media / "a.mp4"), str(media / "b.m4a")]
    assert list(content["unreadable"]) == ["broken.mp4"]
    assert content["scenes"] == list(TAU_SCENES)
    late = np.array(content["files"][0]["probabilities"]["late"])
    np.testing.assert_allclose(list(content["files"][0]["clip"]["late"].values()), late.mean(0))
    with (out / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 4 + 2
    last = [float(rows[7][scene]) for scene in TAU_SCENES]
    assert (rows[7]["second"], rows[7]["head"]) == ("1", "late")
    np.testing.assert_allclose(last, late[1], rtol=1e-5)
    first = TAU_SCENES[late[0].argmax()]
    assert re.search(rf"^ +0  {first} +{late[0].max():.3f}  \w+ +\d\.\d+$", told, re.MULTILINE)
    assert sorted(path.name for path in (out / "plots").iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.mp4"], "The config value 'run' is not set"),
        (["run=gone", "{media}"], "There is no checkpoint at gone"),
        (["run={run}"], "No files are named"),
        (["run={run}", "{empty}"], "holds no media files"),
        (["run={run}", "{media}", "head=lates"], "nearest is 'audio'"),
        (["run={run}", "{media}", "top=0"], "top=0"),
        (["run={run}", "{media}", "tpo=2"], "There is no config key 'tpo'"),
        (["run={run}", "{media}", "json={empty}"], "is a folder"),
        (["run={run}", "{media}", "{media}", "plot=a.png"], "is one picture, for 2 files"),
    ],
)
def test_misuse_is_one_paragraph(run_command, make_checkpoint, write_media, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.wav").touch()
    places = {"run": make_checkpoint("audio"), "media": tmp_path / "a.wav", "empty": tmp_path / "empty"}
    code, told, error = run_command(*(argument.format(**places) for argument in arguments))
    assert (code, told) == (1, "")
    paragraph = error.partition("\nError: ")[2].strip()
    assert words in paragraph
    assert "\n" not in paragraph


def test_tables_tell_what_was_left_out():
    lines = list(
        table(prediction(2, tracks={"sound": 5, "picture": 2}), "a.mp4", ("audio", "visual", "early", "late"), 1)
    )
    assert lines[:2] == [
        "a.mp4: 2 s, late head",
        "It has 5 s of sound and 2 s of picture: what has no counterpart is left out.",
    ]
    assert [line.split()[0] for line in lines[2:]] == ["second", "0", "1", "all"]


def test_every_file_has_a_picture_of_its_own(tmp_path):
    media = [Media(name, tmp_path / name, tmp_path / name) for name in ("a.mp4", "b/a.mp4", "b.wav")]
    assert [path.name for path in picture_paths(media, "plots")] == ["a.png", "a-2.png", "b.png"]
    assert picture_paths(media[:1], "one.pdf")[0].name == "one.pdf"
    assert picture_paths(media, None) == [None] * 3
    with pytest.raises(ConfigError, match=r"plot=one\.png is one picture, for 3 files"):
        picture_paths(media, "one.png")
