"""What a check says of recordings that are there twice, and of sets that have only audio or only video."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sedcrnn.datasets.check import Report, check
from sedcrnn.datasets.clip_facts import FEW, read_facts
from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.folder import Folder


def checked(root: Path) -> Report:
    return check(Folder(str(root), None, 0.25, 0).manifest(), "location_disjoint", 0.3, 0, 2, {})


def write(path: Path, seed: int, gain: float = 1, seconds: float = 2.5, **options: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).standard_normal(round(seconds * 8000))
    soundfile.write(path, 0.05 * gain * noise, 8000, **options)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """A set of audio alone, in folds."""
    for number, (fold, scene) in enumerate(
        (f, s) for f in ("train", "test") for s in ("bus", "park") for _ in range(3)
    ):
        write(tmp_path / fold / scene / f"{number}.wav", number)
    return tmp_path


def test_a_set_of_audio_alone_can_be_used(sounds: Path) -> None:
    report = checked(sounds)
    assert (report.errors, report.warnings) == ([], [])
    assert report.media == [
        "audio   12 readable, 2.5 s: 8,000 Hz, 1 channel(s), PCM_16 (12)",
        "video   none, so this is for networks that do without",
    ]


def test_a_set_of_video_alone_can_be_used_and_one_that_is_mixed_is_told(own_root: Path, tmp_path: Path) -> None:
    root = shutil.copytree(own_root, tmp_path / "own", ignore=shutil.ignore_patterns("*.wav"))
    report = checked(root)
    assert report.errors == []
    assert report.media[0] == "audio   none, so this is for networks that do without"
    shutil.copy(own_root / "bus" / "0.wav", root / "bus" / "0.wav")
    report = checked(root)
    assert report.errors == []
    more = "no audio, so only networks that do without are trained on all clips: 14 (beach/0, beach/1, beach/2, ...)"
    assert report.warnings[0] == more


def test_copies_are_errors_on_two_sides_and_under_two_labels(sounds: Path) -> None:
    shutil.copy(sounds / "train/bus/0.wav", sounds / "test/bus/copy.wav")
    shutil.copy(sounds / "train/bus/1.wav", sounds / "train/park/other.wav")
    shutil.copy(sounds / "test/park/9.wav", sounds / "test/park/more.wav")
    report = checked(sounds)
    assert report.errors == [
        "the same bytes on two sides of the split: 1 (train/bus/0 (train, bus) and test/bus/copy (test, bus))",
        "the same bytes under two labels: 1 (train/bus/1 (train, bus) and train/park/other (train, park))",
    ]
    twice = "the same bytes more than once: 1 (test/park/9 (test, park) and test/park/more (test, park))"
    assert report.warnings == [twice]


def test_one_track_of_two_clips_is_told_as_such(own_root: Path, tmp_path: Path) -> None:
    root = shutil.copytree(own_root, tmp_path / "own")
    shutil.copy(root / "bus" / "2.wav", root / "park" / "2.wav")
    report = checked(root)
    (told,) = [line for line in (*report.errors, *report.warnings) if "same bytes" in line]
    assert told.startswith("the same bytes ")
    assert "bus/2 (" in told
    assert "park/2 (" in told
    assert told.endswith(" in audio)")


def test_one_recording_in_two_formats_is_a_warning(sounds: Path) -> None:
    write(sounds / "test/bus/loud.flac", 0, gain=3, subtype="PCM_24")
    report = checked(sounds)
    assert report.errors == []
    assert report.warnings[-1] == (
        "audio so alike that it may be of one recording: 1 (train/bus/0 (train, bus) and test/bus/loud (test, bus))"
    )


@pytest.mark.slow
def test_facts_come_from_processes_in_order_and_name_bad_files(tmp_path: Path) -> None:
    clips = []
    for number in range(FEW + 2):
        file = tmp_path / f"{number}.wav"
        write(file, number, seconds=1 + 0.01 * number)
        clips.append(Clip(str(number), file, file, "bus", "", "", "train"))
    clips[3].audio.write_bytes(b"RIFF no sound")
    clips[4].audio.unlink()
    facts = read_facts(clips, 2, fingerprints=True)
    lengths = [one.audio.header.samples for one in facts if one.audio.header is not None]
    assert lengths == [round(8000 * (1 + 0.01 * number)) for number in range(FEW + 2) if number not in (3, 4)]
    assert "3.wav' cannot be read" in facts[3].audio.fault
    assert (facts[4].audio.fault, facts[4].audio.header) == ("", None)
    assert facts[5].video.is_absent
