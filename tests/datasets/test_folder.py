"""Class folders: what is read as a clip, a group and a fold, and what is refused. Contents of files play no part."""

from pathlib import Path

import pytest

from sedcrnn.datasets.folder import Folder
from sedcrnn.errors import DataError


def make(root: Path, *files: str) -> Folder:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if path.suffix or path.name.startswith(".") else path.mkdir()
    return Folder(str(root), scenes=None, test_fraction=0.25, test_seed=0)


def many(*folders: str, count: int = 3, suffix: str = "mp4") -> list[str]:
    return [f"{folder}/{n}.{suffix}" for folder in folders for n in range(count)]


def test_audio_and_video_in_one_file_or_side_by_side(tmp_path: Path) -> None:
    files = [*many("park"), "bus/a.wav", "bus/a.MP4", "bus/b.mkv", "bus/c.flac", "bus/c.webm", "bus/d.v2.mp3"]
    manifest = make(tmp_path, *files).manifest()
    clips = {clip.id: clip for clip in manifest.clips}
    assert manifest.scenes == ("bus", "park")
    assert list(clips) == ["bus/a", "bus/b", "bus/c", "bus/d.v2", "park/0", "park/1", "park/2"]
    found = {
        name: (c.audio.relative_to(tmp_path).as_posix(), c.video.relative_to(tmp_path).as_posix())
        for name, c in clips.items()
    }
    assert found["bus/a"] == ("bus/a.wav", "bus/a.MP4")
    assert found["bus/b"] == ("bus/b.mkv", "bus/b.mkv")
    assert found["bus/c"] == ("bus/c.flac", "bus/c.webm")
    assert found["bus/d.v2"] == ("bus/d.v2.mp3", "bus/d.v2.mp3")  # sound alone: for the audio subnetwork
    assert all(clip.location == clip.id and clip.city == "" for clip in manifest.clips)


def test_folders_in_class_folders_are_groups_over_all_scenes(tmp_path: Path) -> None:
    files = many("bus/monday", "bus/friday", "park/monday", "park/friday/morning", "bus/sunday", "park/sunday")
    manifest = make(tmp_path, *files).manifest()
    assert {c.location for c in manifest.clips} == {"monday", "friday", "sunday"}
    tested = {c.location for c in manifest.fold("test")}
    assert len(tested) == 1
    assert {c.scene for c in manifest.fold("test")} == {"bus", "park"}


def test_train_and_test_around_class_folders_are_folds(tmp_path: Path) -> None:
    files = many("train/bus", "train/park", "test/bus", "test/park", count=2)
    manifest = make(tmp_path, *files).manifest()
    assert [c.id for c in manifest.fold("test")] == ["test/bus/0", "test/bus/1", "test/park/0", "test/park/1"]
    assert len(manifest.fold("train")) == 4
    assert manifest.scenes == ("bus", "park")
    named = make(tmp_path / "capital", *many("Train/bus", "TEST/bus", "Train/park", "TEST/park", count=2)).manifest()
    assert [c.id for c in named.fold("test")] == ["TEST/bus/0", "TEST/bus/1", "TEST/park/0", "TEST/park/1"]
    assert make(tmp_path / "rail", *many("train", "tram")).manifest().scenes == ("train", "tram")


def test_files_that_are_not_media_are_ignored_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    (tmp_path / "bus").mkdir()
    (tmp_path / "bus" / "README").touch()
    others = ["notes.txt", ".DS_Store", "bus/._0.mp4", "bus/list.txt", "bus/.cache/x.mp4", ".git/y.mp4"]
    manifest = make(tmp_path, *many("bus", "park"), *others).manifest()
    assert len(manifest.clips) == 6
    (message,) = caplog.messages
    assert message.startswith(f"{tmp_path} (without 5 other files: 2 .txt, 2 hidden, 1 without suffix): ")
    assert "2 scenes, 4 clips to train and 2 to test, drawn with data.source.test_seed=0" in message


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    make(tmp_path, *many("elsewhere", count=2))
    make(tmp_path / "root", *many("bus", "park", count=2))
    (tmp_path / "root" / "bus" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "park" / "linked").symlink_to(tmp_path / "elsewhere")
    assert len(make(tmp_path / "root").manifest().clips) == 8


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "is empty"),
        (["notes.txt"], "holds no folders"),
        (["a.mp4", *many("bus", "park")], r"1 media file\(s\) outside of class folders: a\.mp4.*data=manifest"),
        ([*many("bus"), "park/notes.txt"], "The class folder .*park holds no media"),
        ([*many("bus"), "park/empty"], "The class folder .*park holds no media"),
        (many("bus"), "All clips have the label 'bus'"),
        (many("bus", "Bus"), "The labels 'Bus' and 'bus' differ only in case"),
        ([*many("bus", "park"), "bus/0.mkv"], r"bus/0\.mkv and 0\.mp4 have one name"),
        ([*many("bus", "park"), "bus/0.wav", "bus/0.flac"], r"bus/0\.flac and 0\.wav have one name"),
        (["bus/0.mp4", "park/0.mp4"], r"'bus' has 1 location\(s\): bus/0; 'park' has 1 location\(s\): park/0"),
        (many("train/bus", "test/bus", "val/bus"), r"holds test, train, val: folds or scenes\?"),
        (many("train/bus", "train/park", "val/bus", "val/park"), r"holds train, val: folds or scenes\?"),
        (many("train/bus", "train/park", "test/bus"), "The test fold has no clips of: park"),
        (many("train/bus/x", "train/park", "test/bus/x", "test/park"), r"share 1 group\(s\): x"),
        ([*many("train/bus"), "test"], "test is empty"),
    ],
)
def test_folders_that_cannot_be_used_are_refused(tmp_path: Path, files: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make(tmp_path, *files).manifest()


def test_a_missing_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist: .*nowhere.*a folder for every scene"):
        Folder(str(tmp_path / "nowhere"), None, 0.25, 0).manifest()
