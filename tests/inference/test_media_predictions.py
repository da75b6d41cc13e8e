"""Which files of a folder are predicted, which two are one clip, and where their figures go."""

from pathlib import Path

import pytest

from sedcrnn.errors import ConfigError, DataError
from sedcrnn.inference.media_predictions import Media, figure_paths, find_media


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()


def test_audio_and_video_of_one_name_are_one_clip_in_a_folder(tmp_path):
    touch(tmp_path, "b.mp4", "a.wav", "a.MP4", "a.b.mp4", "sub/a.mov", "notes.txt", ".hidden.mp4", "sub/c.m4a")
    assert find_media([str(tmp_path)]) == [
        Media("a.MP4", tmp_path / "a.MP4", tmp_path / "a.wav"),
        Media("a.b.mp4", tmp_path / "a.b.mp4", tmp_path / "a.b.mp4"),
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
    assert [(media.name, media.audio) for media in find_media(names)] == [(name, Path(name)) for name in names]


def test_audio_of_another_file_goes_with_one_clip(tmp_path):
    touch(tmp_path, "a.mp4", "far/a.wav")
    video, audio = str(tmp_path / "a.mp4"), str(tmp_path / "far/a.wav")
    assert find_media([video], audio) == [Media(video, Path(video), Path(audio))]
    with pytest.raises(ConfigError, match=r"a\.wav is one file, for 2 to predict.*Give one file"):
        find_media([video, audio], audio)
    with pytest.raises(DataError, match=r"There is no file 'gone\.wav'"):
        find_media([video], "gone.wav")


def test_nothing_to_predict_is_refused(tmp_path):
    touch(tmp_path, "notes.txt")
    with pytest.raises(DataError, match="holds no media files"):
        find_media([str(tmp_path)])
    with pytest.raises(DataError, match="There is no file or folder 'gone'"):
        find_media(["gone"])
    with pytest.raises(DataError, match="No files are named"):
        find_media([])


def test_every_file_has_a_figure_of_its_own(tmp_path):
    media = [Media(name, tmp_path / name, tmp_path / name) for name in ("a.mp4", "b/a.mp4", "b.wav")]
    assert [path.name for path in figure_paths(media, "plots")] == ["a.png", "a-2.png", "b.png"]
    assert figure_paths(media[:1], "one.pdf")[0].name == "one.pdf"
    assert figure_paths(media, None) == [None] * 3
    with pytest.raises(ConfigError, match=r"plot=one\.png is one figure, for 3 files"):
        figure_paths(media, "one.png")
