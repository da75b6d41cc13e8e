"""The numbered clips of the challenge's evaluation set: where they may lie, and what must be there."""

from pathlib import Path

import pytest

from sedcrnn.datasets.clips import UNLABELLED, Manifest
from sedcrnn.datasets.scenes import TAU_SCENES
from sedcrnn.datasets.tau2021_evaluation import FILES, Tau2021Evaluation
from sedcrnn.errors import DataError
from sedcrnn.features.frames import Frames


class Sound(Frames):
    """A feature of the sound file; nothing is extracted here."""

    def source(self, clip):
        return clip.audio


SOUND, FRAMES = Sound(height=32, width=32), Frames(height=32, width=32)


def make_set(root: Path, files: int, kinds: tuple[str, ...] = ("audio", "video")) -> Path:
    for kind in kinds:
        (root / kind).mkdir(parents=True)
        for number in range(files):
            (root / kind / f"{number}{'.wav' if kind == 'audio' else '.mp4'}").touch()
    return root


@pytest.mark.parametrize("inner", ["", "TAU-urban-audio-visual-scenes-2021-evaluation"])
def test_clips_are_numbered_and_unlabelled_in_the_root_or_in_a_folder_inside(tmp_path: Path, inner: str) -> None:
    make_set(tmp_path / inner, 12)
    clips = Tau2021Evaluation(str(tmp_path), files=12).clips([SOUND, FRAMES])
    assert [clip.id for clip in clips] == [str(number) for number in range(12)]
    assert (clips[11].audio, clips[2].video) == (
        tmp_path / inner / "audio" / "11.wav",
        tmp_path / inner / "video" / "2.mp4",
    )
    assert {clip.scene for clip in clips} == {UNLABELLED}
    assert FILES == 72_000


def test_the_picture_may_be_missing_for_a_system_that_only_listens(tmp_path: Path) -> None:
    make_set(tmp_path, 3, kinds=("audio",))
    assert len(Tau2021Evaluation(str(tmp_path), files=3).clips([SOUND])) == 3
    with pytest.raises(DataError, match=r"3 of 6 files .* are missing: .*video/0\.mp4, .*1\.mp4, .*2\.mp4\."):
        Tau2021Evaluation(str(tmp_path), files=3).clips([SOUND, FRAMES])


def test_missing_files_and_folders_are_told(tmp_path: Path) -> None:
    make_set(tmp_path, 12)
    with pytest.raises(DataError, match=r"1,988 of 2,000 files .*12\.wav, .*13\.wav, .*14\.wav and more\. .*0 to 1999"):
        Tau2021Evaluation(str(tmp_path), files=2000).clips([SOUND])
    with pytest.raises(DataError, match=r"does not exist: .*nowhere.*Set root="):
        Tau2021Evaluation(str(tmp_path / "nowhere")).clips([SOUND])


def test_unlabelled_clips_are_in_no_manifest(tmp_path: Path) -> None:
    clips = Tau2021Evaluation(str(make_set(tmp_path, 1)), files=1).clips([SOUND])
    with pytest.raises(DataError, match="has the label ''"):
        Manifest("evaluation", TAU_SCENES, clips)
