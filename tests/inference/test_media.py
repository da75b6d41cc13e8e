"""Which files of a folder are predicted, and which two are one clip."""

from pathlib import Path

import pytest

from sedcrnn.errors import DataError
from sedcrnn.inference.media import Media, find_media


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()


def test_sound_and_picture_of_one_name_are_one_clip_in_a_folder(tmp_path):
    touch(tmp_path, "b.mp4", "a.wav", "a.MP4", "sub/a.mov", "notes.txt", ".hidden.mp4", "sub/c.m4a")
    assert find_media([str(tmp_path)]) == [
        Media("a.MP4", tmp_path / "a.MP4", tmp_path / "a.wav"),
        Media("b.mp4", tmp_path / "b.mp4", tmp_path / "b.mp4"),
        Media("sub/a.mov", tmp_path / "sub/a.mov", tmp_path / "sub/a.mov"),
        Media("sub/c.m4a", tmp_path / "sub/c.m4a", tmp_path / "sub/c.m4a"),
    ]


def test_three_files_of_one_name_are_three_clips(tmp_path):
    touch(tmp_path, "a.wav", "a.flac", "a.mp4")
    assert [media.name for media in find_media([str(tmp_path)])] == ["a.flac", "a.mp4", "a.wav"]


def test_files_are_taken_as_they_are_named(tmp_path):
    touch(tmp_path, "a.wav", "a.mp4", "odd")
    names = [str(tmp_path / name) for name in ("odd", "a.wav", "a.mp4")]
    assert [(media.name, media.sound) for media in find_media(names)] == [(name, Path(name)) for name in names]


def test_nothing_to_predict_is_told(tmp_path):
    touch(tmp_path, "notes.txt")
    with pytest.raises(DataError, match="holds no media files"):
        find_media([str(tmp_path)])
    with pytest.raises(DataError, match="There is no file or folder 'gone'"):
        find_media(["gone"])
    with pytest.raises(DataError, match="No files are named"):
        find_media([])
