"""What a check finds in real media, and what it takes for an error."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sedcrnn.datasets.check import Report, check
from sedcrnn.datasets.clips import Clip, Manifest
from sedcrnn.datasets.tau2021 import Tau2021, read_tau_layout


@pytest.fixture
def root(tau_root: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(tau_root, tmp_path / "tau")


def manifest_of(root: Path) -> Manifest:
    return read_tau_layout(root, "made", scenes=("bus", "park"))


def checked(manifest: Manifest, known: dict[str, str] | None = None) -> Report:
    return check(manifest, "location_disjoint", 0.3, 0, 4, known or {})


def changed(manifest: Manifest, change: Callable[[Clip], Clip], scenes: tuple[str, ...] = ("bus", "park")) -> Manifest:
    return Manifest("made", scenes, tuple(change(clip) for clip in manifest.clips))


def test_a_whole_set_has_no_findings_and_fits_a_screen(tau_root: Path) -> None:
    report = checked(manifest_of(tau_root))
    assert (report.errors, report.warnings) == ([], [])
    lines = str(report).splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["scene", "train", "test", "locations", "city", "train", "test", "locations"],
        ["bus", "6", "2", "6+2", "lisbon", "12", "4", "12+4"],
        ["park", "6", "2", "6+2", "all", "12", "4", "12+4"],
        ["all", "12", "4", "12+4"],
    ]
    assert lines[-2:] == [
        "  audio   16 readable, 2 s: 48,000 Hz, 2 channel(s), PCM_24 (16)",
        "  video   16 readable, 2 s: 64x48, 10 frames/s, h264 (16)",
    ]
    assert max(map(len, lines)) <= 100


def test_missing_and_unreadable_media_are_errors(root: Path) -> None:
    for number in (0, 2, 4, 6):
        (root / "audio" / f"bus-lisbon-{number}-{1000 + number}.wav").unlink()
    (root / "video" / "park-lisbon-1-1001.mp4").write_bytes(b"no video")
    report = checked(manifest_of(root))
    assert report.errors[0] == ("audio missing: 4 (bus-lisbon-0-1000, bus-lisbon-2-1002, bus-lisbon-4-1004, ...)")
    assert report.errors[1] == "video unreadable: 1 (park-lisbon-1-1001)"
    assert "park-lisbon-1-1001.mp4' cannot be read" in report.errors[2]
    assert len(report.errors) == 3
    assert "12 readable" in report.media[0]


def test_a_known_fault_is_a_warning_and_only_where_it_is(root: Path) -> None:
    known = {"park-lisbon-1-1001": "reported to have no usable video"}
    assert checked(manifest_of(root), known).warnings == []
    video = root / "video" / "park-lisbon-1-1001.mp4"
    for damage in (lambda: video.write_bytes(b"no video"), video.unlink):
        damage()
        report = checked(manifest_of(root), known)
        assert report.errors == []
        assert len(report.warnings) == 1
        assert report.warnings[0].startswith("park-lisbon-1-1001: reported to have no usable video, and so it is here")


def test_a_known_fault_of_the_video_excuses_no_other(root: Path) -> None:
    (root / "audio" / "park-lisbon-1-1001.wav").unlink()
    report = checked(manifest_of(root), {"park-lisbon-1-1001": "reported to have no usable video"})
    assert report.errors == ["audio missing: 1 (park-lisbon-1-1001)"]


def test_the_clip_that_is_reported_without_video_is_known() -> None:
    assert "video" in Tau2021.known_faults["airport-lyon-1095-40158"]


def write(root: Path, clip: str, samples: int = 96000, rate: int = 48000, channels: int = 2) -> None:
    soundfile.write(root / "audio" / f"{clip}.wav", np.zeros((samples, channels)), rate, subtype="PCM_24")


@pytest.mark.parametrize(
    ("audio", "warning"),
    [
        (
            {"rate": 44100, "samples": 88200},
            "sample rate other than the usual 48,000: 1 (bus-lisbon-0-1000 with 44,100)",
        ),
        ({"channels": 1}, "number of channels other than the usual 2: 1 (bus-lisbon-0-1000 with 1)"),
    ],
)
def test_odd_rates_and_channels_are_warnings(root: Path, audio: dict[str, int], warning: str) -> None:
    write(root, "bus-lisbon-0-1000", **audio)
    report = checked(manifest_of(root))
    assert report.errors == []
    assert report.warnings[0] == warning


def test_too_short_audio_is_an_error(root: Path) -> None:
    write(root, "bus-lisbon-0-1000", samples=40000)
    assert checked(manifest_of(root)).errors == ["audio shorter than 1 s: 1 (bus-lisbon-0-1000)"]


def test_odd_lengths_are_warnings_but_one_sample_is_none(root: Path) -> None:
    write(root, "bus-lisbon-0-1000", samples=96001)
    write(root, "bus-lisbon-2-1002", samples=96003)
    assert checked(manifest_of(root)).warnings == [
        "audio length in samples other than the usual 96,000: 1 (bus-lisbon-2-1002 with 96,003)"
    ]
    write(root, "bus-lisbon-2-1002", samples=144000)
    assert checked(manifest_of(root)).warnings[1] == (
        "audio and video differ by more than 0.5 s in length: 1 (bus-lisbon-2-1002)"
    )


def test_recordings_of_any_length_are_no_finding(root: Path) -> None:
    for number, path in enumerate(sorted((root / "audio").iterdir())):
        write(root, path.stem, samples=96000 + 100 * number)
    assert checked(manifest_of(root)).warnings == []


def test_a_location_in_both_folds_is_an_error(tau_root: Path) -> None:
    manifest = changed(
        manifest_of(tau_root), lambda clip: replace(clip, location="lisbon-0") if clip.fold == "test" else clip
    )
    assert checked(manifest).errors == ["locations in both folds: 1 (lisbon-0)"]


def test_labels_that_differ_in_case_are_an_error(tau_root: Path) -> None:
    scenes = ("Bus", "bus", "park")
    manifest = changed(
        manifest_of(tau_root),
        lambda clip: replace(clip, scene="Bus") if clip.scene == "bus" and int(clip.id[-1]) > 3 else clip,
        scenes,
    )
    (error,) = checked(manifest).errors
    assert error.startswith("The labels 'Bus' and 'bus' differ only in case, in space or in how a letter is encoded")


def test_scenes_that_cannot_be_trained_validated_or_tested_are_told(tau_root: Path) -> None:
    manifest = manifest_of(tau_root)
    one_place = changed(
        manifest, lambda clip: replace(clip, location="lisbon-0") if clip.fold == "train" and "bus" in clip.id else clip
    )
    errors = checked(one_place).errors
    assert len(errors) == 1
    assert "The validation fold cannot be drawn: 'bus' has 1 location(s): lisbon-0" in errors[0]
    tested = tuple(clip for clip in manifest.clips if (clip.scene, clip.fold) != ("bus", "test"))
    report = checked(Manifest("made", ("bus", "park"), tested))
    assert (report.errors, report.warnings) == ([], ["scenes without clips in the test fold: 1 (bus)"])
    more = checked(changed(manifest, lambda clip: clip, ("bus", "park", "tram")))
    assert more.errors == ["scenes without clips in the train fold: 1 (tram)"]


def test_many_scenes_and_cities_still_fit_a_screen(tau_root: Path) -> None:
    first = manifest_of(tau_root).clips[0]
    clips = [
        replace(first, id=f"{n}", scene=f"scene{n:03}", location=f"{n}", fold=fold)
        for n, fold in enumerate(60 * ["train", "train", "test"])
    ]
    scenes = tuple(f"scene{n:03}" for n in range(180))
    lines = str(Report(Manifest("made", scenes, tuple(clips)))).splitlines()
    assert len(lines) == 23
    assert lines[21].split() == ["160", "more", "106", "54", "106+54"]
