"""The same bytes under other names: refused on two sides of a split and under two labels, and told otherwise."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.folds import Folds
from sedcrnn.datasets.identity import Copies, check_contents, contents_of, find_copies
from sedcrnn.errors import DataError
from sedcrnn.training.stage import make_datamodule


def clip(name: str, scene: str = "bus") -> Clip:
    return Clip(name, Path(f"{name}.wav"), Path(f"{name}.mp4"), scene, "", name, "train")


A, B, C, D = clip("a"), clip("b"), clip("c", "park"), clip("d")
SIDES = {"a": "train", "b": "train", "c": "train", "d": "test"}


def test_files_of_the_same_bytes_are_found_and_read_only_where_need_be(tmp_path: Path) -> None:
    middle = bytes(300_000)
    contents = {
        "a": b"1" + middle,
        "b": b"2" + middle,
        "c": b"1" + middle,
        "d": b"other",
        "e": b"1" + middle[1:] + b"x",
    }
    contents["f"] = b"1" + middle[:150_000] + b"x" + middle[150_001:]
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    os.link(tmp_path / "d", tmp_path / "g")
    read: list[list[str]] = []

    def each(function: Callable[[Path], str], files: list[Path]) -> list[str]:
        read.append([file.name for file in files])
        return [function(file) for file in files]

    files = sorted(tmp_path.iterdir())
    found = dict(zip([file.name for file in files], contents_of(files, each), strict=True))
    assert sorted(read[0]) == ["a", "b", "c", "d", "e", "f", "g"]  # not alone in their size: ends are read
    assert sorted(read[1]) == ["a", "c", "d", "f", "g"]  # alike at their ends: read to the end
    assert found["a"] == found["c"]
    assert found["d"] == found["g"]
    assert len(set(found.values())) == 5


def test_copies_are_of_both_tracks_or_of_one() -> None:
    clips = [A, B, C, D]
    tracks = {"audio": ["1", "1", "1", "2"], "video": ["5", "5", "6", None]}
    assert find_copies(clips, tracks) == [
        Copies((A, B), ("audio", "video"), are_whole=True),
        Copies((A, B, C), ("audio",), are_whole=False),
    ]
    assert find_copies(clips, {"audio": ["1", "2", "3", "1"]}) == [Copies((A, D), ("audio",), are_whole=True)]
    assert find_copies(clips, {"audio": "1234", "video": [None] * 4}) == []


@pytest.mark.parametrize(
    ("clips", "is_whole", "problem"),
    [
        ((A, B), True, ""),
        ((A, C), True, "under two labels"),
        ((A, C), False, ""),  # they differ in video, which may tell the scenes apart
        ((A, D), True, "on two sides of the split"),
        ((A, D), False, "on two sides of the split"),
    ],
)
def test_what_keeps_copies_from_being_trained_on(clips: tuple[Clip, ...], is_whole: bool, problem: str) -> None:
    assert Copies(clips, ("audio",), is_whole).problem(SIDES) == problem


def test_copies_on_two_sides_of_the_drawn_folds_are_refused() -> None:
    folds = Folds(train=(A, B), validation=(C,), test=(D,))
    check_contents(folds, [A, B, C, D], {"audio": ["1", "1", "2", "3"]})
    with pytest.raises(DataError, match=r"on two sides of the split, 1 time.*a \(train, bus\) and d \(test, bus\)"):
        check_contents(folds, [A, B, C, D], {"audio": ["1", "2", "3", "1"]})
    with pytest.raises(DataError, match=r"a \(train, bus\) and c \(validation, park\)"):
        check_contents(folds, [A, B, C, D], {"audio": ["1", "2", "1", "3"]})
    authors = Folds(train=(A, B, C), validation=(D,), test=(D,))  # who say so by name
    check_contents(authors, [A, B, C, D], {"audio": ["1", "2", "3", "4"]})


@pytest.fixture
def recordings(own_root: Path, tmp_path: Path) -> Path:
    return shutil.copytree(own_root, tmp_path / "recordings")


def test_training_refuses_the_same_bytes_and_says_which(
    recordings: Path, own_stage: Callable[..., TrainConfig], caplog: pytest.LogCaptureFixture
) -> None:
    def setup() -> None:
        data = make_datamodule(
            own_stage("audio", "data=folder", f"data.root={recordings}", "features=small", "features.frames=null")
        )
        data.prepare_data()
        data.setup()

    setup()
    os.link(recordings / "bus" / "0.wav", recordings / "bus" / "hard.wav")
    shutil.copy(recordings / "bus" / "0.wav", recordings / "bus" / "copy.wav")
    shutil.copy(recordings / "park" / "1.mp4", recordings / "bus" / "3.mp4")  # which this network does not take
    together = recordings / "bus" / "monday"
    together.mkdir()
    for name in ("0.wav", "0.mp4", "hard.wav", "copy.wav"):
        (recordings / "bus" / name).rename(together / name)
    setup()  # in one group, they are in one fold
    assert any("1 recording(s) are there more than once, in one fold: bus/monday/0" in one for one in caplog.messages)
    (together / "copy.wav").rename(recordings / "park" / "named.wav")
    with pytest.raises(DataError, match=r"the same bytes .*(bus/monday/0|bus/monday/hard) .*park/named "):
        setup()
