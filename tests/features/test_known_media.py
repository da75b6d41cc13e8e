"""Second k of what is read is second k of a known signal, in sound and picture, or the refusal names the reason."""

import random
from dataclasses import replace

import pytest

from sedcrnn.datasets.headers import read_audio_header, read_video_header
from sedcrnn.errors import ClipError
from tests.fuzz.known_media import BOTH, SOUND, STATED, TURNS, Film, draw, expected, heard, seen, write
from tests.fuzz.media import fuzz

QUICK, ALL = 12, 250


def first_of(suffix, **values):
    """A film of the first codecs of a container."""
    video, audio = BOTH.get(suffix, ("", SOUND.get(suffix, "")))
    return Film(
        suffix, audio.split()[0], video.split()[0] if video else None, 44100 if suffix == "flv" else 48000, **values
    )


def read(path, film, damage="stop"):
    return heard(path, damage), seen(path, film, damage) if film.video else []


def check(folder, seed):
    film = draw(seed)
    path = write(folder / f"a.{film.suffix}", film)
    sound, picture = expected(film)
    assert heard(path) == sound, film
    assert read_audio_header(path).seconds == pytest.approx(film.late + film.seconds, abs=0.15), film
    if film.video:
        assert seen(path, film) == picture, film
        assert read_video_header(path).seconds == pytest.approx(film.seconds, abs=0.1), film


@pytest.mark.parametrize("seed", range(QUICK))
def test_second_k_is_second_k(tmp_path, seed):
    check(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(QUICK, ALL))
def test_second_k_is_second_k_in_all_kinds(tmp_path, seed):
    check(tmp_path, seed)


@pytest.mark.parametrize("turn", TURNS)
def test_pictures_are_mirrored_and_turned_as_their_file_asks(tmp_path, turn):
    film = Film("mp4", "aac", "mpeg4", seconds=1, turn=turn)
    assert seen(write(tmp_path / "a.mp4", film), film) == [0]


@pytest.mark.parametrize("suffix", STATED)
def test_what_is_cut_off_is_refused_wherever_the_file_states_its_end(tmp_path, suffix):
    film = first_of(suffix, seconds=2)
    content = write(tmp_path / f"a.{suffix}", film).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(content[: len(content) * 7 // 10])
    for reader in (heard, *([lambda path: seen(path, film)] if film.video else [])):
        with pytest.raises(ClipError, match=rf"cut\.{suffix}' (is truncated|cannot be read)"):
            reader(path)
    with pytest.raises(ClipError, match=rf"cut\.{suffix}' (is truncated|cannot be read)"):
        read_audio_header(path)


@pytest.mark.parametrize("suffix", ["mkv", "avi", "wav", "w64", "mp3", "ogg"])
def test_damage_end_reads_a_cut_file_up_to_its_end(tmp_path, suffix, caplog):
    film = first_of(suffix)
    content = write(tmp_path / f"a.{suffix}", film).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(content[: len(content) * 8 // 10])
    assert read(path, film, "end") == ([0, 1, 2], [0, 1, 2] if film.video else [])
    assert "is truncated" in caplog.text


@pytest.mark.parametrize("suffix", ["ts", "aac", "ac3"])
def test_what_states_no_end_is_read_as_far_as_it_goes(tmp_path, suffix):
    film = first_of(suffix)
    content = write(tmp_path / f"a.{suffix}", film).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(content[: len(content) * 8 // 10])
    assert read(path, film, "end") == ([0, 1, 2], [0, 1, 2] if film.video else [])


@pytest.mark.parametrize("suffix", ["ts", "mpg", "mkv", "avi", "mp3", "opus", "aac"])
def test_joined_files_are_read_to_the_end_of_the_last(tmp_path, suffix):
    film = first_of(suffix, seconds=3)
    parts = [write(tmp_path / f"{first}.{suffix}", replace(film, first=first)) for first in (0, 3)]
    path = tmp_path / f"joined.{suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert read(path, film) == ([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5] if film.video else [])


def damaged(path):
    """A copy with 700 random bytes in its middle."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 700] = random.Random(0).randbytes(700)
    copy = path.with_name(f"damaged{path.suffix}")
    copy.write_bytes(content)
    return copy


@pytest.mark.parametrize("suffix", ["mp4", "m4a", "mpg", "flac", "mp3", "aac"])
def test_damage_in_the_middle_is_refused_passed_over_or_the_end(tmp_path, suffix, caplog):
    film = first_of(suffix)
    path = damaged(write(tmp_path / f"a.{suffix}", film))
    with pytest.raises(ClipError, match=rf"damaged\.{suffix}'"):
        read(path, film, "stop")
    sound, picture = read(path, film, "skip")
    assert (sound[0], sound[3], len(sound)) == (0, 3, 4)
    assert "damaged piece(s) of audio. In their place is silence." in caplog.text
    assert picture == ([0, 1, 2, 3] if film.video else [])
    sound, _ = read(path, film, "end")
    assert sound in ([0], [0, 1]) or suffix == "mp3"  # whose decoder finds the next frame, and goes on
    assert "The track ends there" in caplog.text


def test_a_broadcast_that_is_cut_at_both_ends_is_read(tmp_path):
    film = Film("ts", "mp2", "mpeg2video", seconds=6)
    content = write(tmp_path / "a.ts", film).read_bytes()
    path = tmp_path / "cut.ts"
    path.write_bytes(content[188 * 300 + 50 : 188 * (len(content) // 188 - 100)])
    sound, picture = read(path, film)
    assert sound == list(range(sound[0], sound[-1] + 1))
    assert len(sound) >= 3
    assert picture[1:-1] == list(range(picture[1], picture[-1]))


def test_some_damaged_files_of_every_kind(tmp_path):
    outcomes, faults = fuzz(tmp_path, 36, seed=0)
    assert not faults
    assert sum(outcomes.values()) == 36
    assert not [name for name in outcomes if "without its name" in name]


@pytest.mark.slow
def test_many_damaged_files_of_every_kind(tmp_path):
    assert not fuzz(tmp_path, 600, seed=1)[1]
