"""Which files of a folder are taken: each once, in one order, whatever links, systems and strangers have left there."""

import os
from collections import Counter
from pathlib import Path

import pytest

from sedcrnn.datasets.folder import Folder
from sedcrnn.datasets.walk import linked_again, media_files, of_one_name, subfolders
from sedcrnn.inference.media_predictions import find_media


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def taken(folder: Path, ignored: Counter[str] | None = None) -> list[str]:
    return [str(file.relative_to(folder)) for file in media_files(folder, Counter() if ignored is None else ignored)]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Ten clips of two scenes."""
    root = tmp_path / "recordings"
    touch(root, *(f"{scene}/place{number}/{number}.mp4" for scene in ("bus", "park") for number in range(5)))
    return root


def made(root: Path) -> list[tuple[str, str]]:
    return [(clip.id, clip.scene) for clip in Folder(str(root), None, 0.25, 0).manifest().clips]


@pytest.mark.parametrize("place", ["loop", "bus/loop", "bus/place0/loop", "park/a/b"])
@pytest.mark.parametrize("target", [".", ".."])
def test_links_to_folders_that_they_lie_in_add_nothing(clips: Path, place: str, target: str) -> None:
    without = made(clips)
    (clips / place).parent.mkdir(parents=True, exist_ok=True)
    (clips / place).symlink_to((clips / target).resolve())
    assert made(clips) == without
    assert len(without) == 10


def test_links_to_folders_elsewhere_are_followed_once(clips: Path) -> None:
    (clips / "bus" / "more").symlink_to("../park/place0")
    (clips / "bus" / "and more").symlink_to("../park")
    assert [name for name in taken(clips / "bus") if "more" in name] == [
        *(f"and more/place{number}/{number}.mp4" for number in range(5))
    ]


def test_links_in_circles_end(clips: Path) -> None:
    for number in range(2):
        (clips / "bus" / f"itself{number}").symlink_to(".")
    (clips / "bus" / "there.mp4").symlink_to("there.mp4")
    touch(clips, "../far/1.mp4")
    (clips / "../far/back").symlink_to(clips)
    (clips / "bus" / "far").symlink_to(clips / "../far")
    assert [name for name in taken(clips / "bus") if "place" not in name] == ["far/1.mp4", "there.mp4"]
    assert taken(clips / "bus") == taken(clips / "bus")


def test_a_folder_is_named_by_itself_and_not_by_a_link_to_it(clips: Path) -> None:
    (clips / "bus" / "a").symlink_to("place3")
    (clips / "bus" / "b").symlink_to("place3")
    assert taken(clips / "bus") == [f"place{number}/{number}.mp4" for number in range(5)]


def test_a_link_to_a_file_is_the_file_and_a_hard_link_another(clips: Path) -> None:
    bus = clips / "bus"
    (bus / "again.mp4").symlink_to("place0/0.mp4")
    os.link(bus / "place1" / "1.mp4", bus / "hard.mp4")
    assert [clip for clip, scene in made(clips) if scene == "bus"] == [
        "bus/hard", *(f"bus/place{number}/{number}" for number in range(5))
    ]  # fmt: skip
    assert find_media([str(bus)])[0].name == "hard.mp4"
    assert len(find_media([str(bus)])) == 6
    touch(bus, "again.wav")  # audio of its own makes it a clip
    assert ("bus/again", "bus") in made(clips)


def test_of_links_to_one_file_the_first_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, "far/x.mp4")
    links = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for link in links:
        link.symlink_to("far/x.mp4")
    assert linked_again([(link, link) for link in links]) == [False, True]
    assert linked_again([(tmp_path / "far/x.mp4",), (links[0],)]) == [False, True]


def test_what_systems_leave_behind_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "._a.mp4", ".DS_Store", "Thumbs.db", "@eaDir/a.mp4", "__MACOSX/b.mp4", ".cache/c.mp4")
    touch(tmp_path, "lost+found/d.mp4", "$RECYCLE.BIN/e.mp4", "notes", "b.TXT", "C.WAV", "sub.mp4/d.Mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    ignored: Counter[str] = Counter()
    assert taken(tmp_path, ignored) == ["C.WAV", "a.mp4", "sub.mp4/d.Mp4"]
    assert ignored == {"hidden": 2, ".db": 1, "without suffix": 1, ".txt": 1, ".mp4": 1}
    assert [folder.name for folder in subfolders(tmp_path)] == ["sub.mp4"]


def test_a_link_to_nothing_is_missed(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to("gone.mp4")
    assert taken(tmp_path) == ["a.mp4"]


def test_pairs_do_not_depend_on_what_lies_between_them(tmp_path: Path) -> None:
    touch(tmp_path, "clip.mp4", "clip.part2.mp4", "clip.wav", "clip-2.wav", "CLIP.wav", "clip .mp4")
    named = of_one_name(media_files(tmp_path, Counter()))
    found = {str(name.relative_to(tmp_path)): (len(audio), len(video)) for name, (audio, video) in named.items()}
    assert found == {"clip": (1, 1), "clip.part2": (0, 1), "clip-2": (1, 0), "CLIP": (1, 0), "clip ": (0, 1)}
    pairs = {one.name: one.audio.name for one in find_media([str(tmp_path)])}
    assert pairs["clip.mp4"] == "clip.wav"
    assert pairs["clip.part2.mp4"] == "clip.part2.mp4"
