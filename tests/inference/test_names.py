"""Files of any name are predicted, told, drawn and written down; and one that fails ends no other."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from sedcrnn import inspect, predict
from sedcrnn.inference.media_predictions import Media, figure_paths
from sedcrnn.inference.predictor import Predictor
from sedcrnn.runs.outputs import name_after
from tests.commands import exit_code

NAMES = [
    b"b\xfc.wav", b"\xff\xfe.wav", "J\u00f6rg.wav".encode(), "Jo\u0308rg.wav".encode(), "\u65e5\u672c.wav".encode(),
    b"12:30.wav", b"a b.wav", b" lead.wav", b"trail .wav", b"a,b.wav", b"[x].wav", b"{y}.wav", b"k=v.wav",
    b"new\nline.wav", b"tab\t.wav", b"esc\x1b[31m.wav", b"-dash.wav", b"--help.wav", b"~home.wav", b"#hash.wav",
    b"$HOME.wav", b"${x}.wav", b"q'uote.wav", b'dq".wav', b"back\\slash.wav", b"*.wav", b"?.wav", b"%03d.wav",
    b"a;b|c&d.wav", b"<x>.wav", b"UP.WAV", b"dots..wav", b"null.wav", b"1e3.wav", b"x" * 251 + b".wav",
    b"concat:a.wav", b"http:x.wav", b"$math$.wav", b"=x.wav", "\u202ertl.wav".encode(), b"!@`.wav",
]  # fmt: skip
DRAWN = (b"b\xfc.wav", b"new\nline.wav", b"$math$.wav", b"x" * 251 + b".wav", "\u65e5\u672c.wav".encode())


@pytest.fixture
def named(sound_file: Path, tmp_path: Path) -> Path:
    """A folder with a sound of one second under each name."""
    folder = tmp_path / "named"
    folder.mkdir()
    for name in NAMES:
        os.link(sound_file, os.path.join(os.fsencode(folder), name))  # noqa: PTH118 - of bytes
    return folder


@pytest.fixture
def sound_file(write_media: Callable[..., Path], tmp_path: Path) -> Path:
    return write_media(tmp_path / "sound.m4a", 0, 1.1)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Command and words -> exit code, and what was printed."""

    def run(command: ModuleType, *words: str | Path) -> tuple[int, str, str]:
        return exit_code(monkeypatch, command, *words), *capsys.readouterr()

    return run


Run = Callable[..., tuple[int, str, str]]


def test_a_folder_of_all_names(run: Run, make_checkpoint: Callable[[str], Path], named: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = [f"csv={out / 'all.csv'}", f"json={out / 'all.json'}"]
    code, shown, errors = run(predict, f"run={make_checkpoint('audio')}", named, *written)
    assert (code, "Traceback" in errors) == (0, False)
    assert f"The answers for {len(NAMES)} files:" in shown
    for name in (r"b\xfc.wav", r"new\nline.wav", r"esc\x1b[31m.wav", "Jörg.wav"):
        assert f"\n  {name} " in shown
    with (out / "all.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        in_table = {Path(row["file"].lstrip("'")).name for row in csv.DictReader(file)}
    in_json = {Path(file["path"]).name for file in json.loads((out / "all.json").read_text())["files"]}
    assert in_table == in_json == set(map(os.fsdecode, NAMES))
    drawn = [named / os.fsdecode(name) for name in DRAWN]
    code, _, errors = run(predict, f"run={make_checkpoint('audio')}", *drawn, f"plot={out / 'plots'}")
    assert (code, "Traceback" in errors) == (0, False)
    assert sorted(file.stem for file in (out / "plots").iterdir()) == sorted(file.stem for file in drawn)


def test_words_of_all_names(
    run: Run, make_checkpoint: Callable[[str], Path], named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(named)
    words = [os.fsdecode(name) for name in NAMES if name != b"--help.wav"]
    code, shown, errors = run(predict, f"run={make_checkpoint('audio')}", *words)
    assert (code, errors.strip().count("Error")) == (0, 0)
    assert f"The answers for {len(words)} files:" in shown
    code, shown, _ = run(inspect, words[0], "features=small", "features.frames=null", "seconds=1")
    assert code == 0
    assert shown.startswith("b\\xfc.png\nNext: ")
    assert (named / os.fsdecode(b"b\xfc.png")).is_file()


def test_whatever_a_file_raises_ends_no_other(
    run: Run,
    make_checkpoint: Callable[[str], Path],
    named: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    raised = {
        "*.wav": ValueError("bad"),
        "?.wav": MemoryError(),
        "UP.WAV": RuntimeError("x\ny"),
        "=x.wav": OSError(5, "I/O"),
    }
    predict_one = Predictor.predict

    def fails(self: Predictor, path: Path, *rest: object, **options: object) -> object:
        if path.name in raised:
            raise raised[path.name]
        return predict_one(self, path, *rest, **options)

    monkeypatch.setattr(Predictor, "predict", fails)
    code, shown, errors = run(predict, f"run={make_checkpoint('audio')}", named, f"json={tmp_path / 'all.json'}")
    assert code == 1
    assert f"Error: 4 of {len(NAMES)} files could not be predicted." in errors
    assert f"The answers for {len(NAMES) - 4} files:" in shown
    assert "*.wav' cannot be predicted (ValueError: bad)\n" in errors
    assert "UP.WAV' cannot be predicted (RuntimeError: x\\ny)\n" in errors
    assert set(json.loads((tmp_path / "all.json").read_text())["unreadable"]) == set(raised)


def test_files_of_one_name_in_two_folders_are_told_apart(
    run: Run, make_checkpoint: Callable[[str], Path], sound_file: Path, tmp_path: Path
) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        os.link(sound_file, tmp_path / folder / "x.m4a")
    (tmp_path / "b" / "x.m4a").unlink()
    (tmp_path / "b" / "x.m4a").write_bytes(b"nothing")
    code, shown, errors = run(predict, f"run={make_checkpoint('audio')}", *(tmp_path / each for each in "abc"))
    assert code == 1
    assert "1 of 3 files could not be predicted" in errors
    assert [line.split()[0] for line in shown.splitlines() if line.startswith("  /")] == [
        str(tmp_path / "a/x.m4a"), str(tmp_path / "c/x.m4a")
    ]  # fmt: skip


def test_figures_have_names_that_fit(tmp_path: Path) -> None:
    long = Path("é" * 126 + ".ts")
    assert name_after(long, ".png") == "é" * 125 + ".png"
    assert name_after(Path(os.fsdecode(b"\xfc.wav")), ".png") == os.fsdecode(b"\xfc.png")
    media = [Media(str(path), path, path) for path in (long, long, Path("A.wav"), Path("a.wav"))]
    names = [path.name for path in figure_paths(media, str(tmp_path)) if path is not None]
    assert names == ["é" * 125 + ".png", "é" * 124 + "-2.png", "A.png", "a-2.png"]
    assert max(len(os.fsencode(name)) for name in names) <= 255
