import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sedcrnn.errors import ClipError
from sedcrnn.features.extraction import Unreadable, extract_all
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone
from sedcrnn.features.frames import Frames
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.features.store import FeatureStore

SPECTROGRAM = Spectrogram(bank=RecursiveGammatone(bands=4))

RUN_THAT_IS_KILLED = """
import sys
from pathlib import Path
from sedcrnn.datasets.clips import Clip
from sedcrnn.features.extraction import extract_all
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.features.store import FeatureStore

if __name__ == "__main__":
    media, store = map(Path, sys.argv[1:])
    sounds = sorted(media.glob("*.wav"))
    clips = [Clip(path.stem, path, path.with_suffix(".mp4"), "bus", "lisbon", "lisbon-1", "train") for path in sounds]
    extract_all(clips, [Spectrogram(bank=RecursiveGammatone(bands=800))], FeatureStore(store), 2, "stop")
"""

# One of several processes that work on the same store; it writes down what it made itself.
RUN_THAT_SHARES = """
import sys
import time
from pathlib import Path
from sedcrnn.datasets.clips import Clip
from sedcrnn.features.extraction import extract_all
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.features.store import FeatureStore

class Counting(Spectrogram):
    def extract(self, source):
        with made.open("a") as file:
            file.write(source.stem + "\\n")
        return super().extract(source)

media, store, made, ready = map(Path, sys.argv[1:])
sounds = sorted(media.glob("*.wav"))
clips = [Clip(path.stem, path, path.with_suffix(".mp4"), "bus", "lisbon", "lisbon-1", "train") for path in sounds]
made.touch()
while len(list(ready.glob("*.txt"))) < 2:  # until the other one has loaded what it needs, too
    time.sleep(0.01)
extract_all(clips, [Counting(bank=RecursiveGammatone(bands=200))], FeatureStore(store), 0, "stop")
"""


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "store")


def entries(store):
    return sorted(store.root.glob("*/[!.]*.npy"))


def assert_complete(store, clips, feature=SPECTROGRAM):
    for clip in clips:
        np.testing.assert_array_equal(store.read(clip.audio, feature), feature.extract(clip.audio))


def test_makes_every_feature_of_every_clip(store, make_clips, write_video):
    clips = make_clips(2)
    frames = Frames(height=32, width=32)
    for number, clip in enumerate(clips):
        write_video(clip.video, count=25 + 5 * number)
    assert extract_all(clips, [SPECTROGRAM, frames], store, 0, "stop").unreadable == ()
    assert_complete(store, clips)
    for clip in clips:
        np.testing.assert_array_equal(store.read(clip.video, frames), frames.extract(clip.video))
    assert len(entries(store)) == 4


@pytest.mark.slow
def test_two_processes_make_the_same_bytes_as_one(store, tmp_path, make_clips):
    clips = make_clips(4)
    other = FeatureStore(tmp_path / "other")
    extract_all(clips, [SPECTROGRAM], store, 0, "stop")
    extract_all(clips, [SPECTROGRAM], other, 2, "stop")
    assert [entry.name for entry in entries(store)] == [entry.name for entry in entries(other)]
    for one, two in zip(entries(store), entries(other), strict=True):
        assert one.read_bytes() == two.read_bytes()
    assert FeatureStore(other.root).known([clip.audio for clip in clips], SPECTROGRAM) == [True] * 4


def test_what_is_there_is_neither_made_nor_verified_again(store, make_clips, monkeypatch):
    clips = make_clips(3)
    extract_all(clips, [SPECTROGRAM], store, 0, "stop")
    monkeypatch.setattr(Spectrogram, "extract", None)  # would fail if they were called
    monkeypatch.setattr(FeatureStore, "verify", None)
    for used in (store, FeatureStore(store.root)):
        assert extract_all(clips, [SPECTROGRAM], used, 2, "stop").unreadable == ()


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_what_is_known_is_written_down_for_many_clips_at_once(store, make_clips, monkeypatch, workers):
    clips, saved, remember = make_clips(6), [], FeatureStore.take_unsaved
    monkeypatch.setattr(FeatureStore, "take_unsaved", lambda self: saved.append(remember(self)) or saved[-1])
    monkeypatch.setattr("sedcrnn.features.extraction.SAVE_EVERY", 600)
    assert extract_all(clips, [SPECTROGRAM], store, workers, "stop").unreadable == ()
    assert [len(learnt) for learnt in saved] == [12]  # six files and their entries
    assert FeatureStore(store.root).known([clip.audio for clip in clips], SPECTROGRAM) == [True] * 6


def test_entries_of_an_unknown_past_are_verified_and_kept(store, make_clips, monkeypatch):
    clips = make_clips(2)
    extract_all(clips, [SPECTROGRAM], store, 0, "stop")
    (store.root / "known.sqlite").unlink()
    monkeypatch.setattr(Spectrogram, "extract", None)
    assert extract_all(clips, [SPECTROGRAM], FeatureStore(store.root), 0, "stop").unreadable == ()


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_entries_are_made_again(store, make_clips, damage):
    clips = make_clips(3)
    extract_all(clips, [SPECTROGRAM], store, 0, "stop")
    entry = store.path(clips[1].audio, SPECTROGRAM)
    content = bytearray(entry.read_bytes())
    if damage == "truncated":
        del content[len(content) // 2 :]
    else:
        content[500] ^= 1
    entry.write_bytes(content)
    extract_all(clips, [SPECTROGRAM], store, 0, "stop")
    assert_complete(store, clips)
    assert store.verify(entry)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_stop_raises_the_first_unreadable_clip(store, make_clips, workers):
    clips = make_clips(3)
    clips[1].audio.write_text("this is not sound")
    with pytest.raises(ClipError, match=r"clip1\.wav' cannot be read"):
        extract_all(clips, [SPECTROGRAM], store, workers, "stop")
    assert all(store.verify(entry) for entry in entries(store))


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_skip_lists_unreadable_clips_in_order_and_makes_the_rest(store, make_clips, workers):
    clips = make_clips(4)
    clips[2].audio.write_text("this is not sound")
    clips[0].audio.unlink()
    skipped = extract_all(clips, [SPECTROGRAM], store, workers, "skip").unreadable
    assert [unreadable.clip for unreadable in skipped] == ["clip0", "clip2"]
    assert "clip0.wav' is listed but absent" in skipped[0].message
    assert "clip2.wav' cannot be read" in skipped[1].message
    assert_complete(store, [clips[1], clips[3]])


def test_a_clip_is_skipped_when_only_its_video_fails(store, make_clips):
    clips = make_clips(1)
    skipped = extract_all(clips, [SPECTROGRAM, Frames(height=32, width=32)], store, 0, "skip").unreadable
    assert [unreadable.clip for unreadable in skipped] == ["clip0"]
    assert "clip0.mp4' is listed but absent" in skipped[0].message
    assert_complete(store, clips)


def test_a_clip_is_listed_once_however_many_of_its_features_fail(store, make_clips):
    clip = replace(make_clips(1)[0], video=make_clips(1)[0].audio)
    clip.audio.write_text("neither sound nor video")
    skipped = extract_all([clip], [SPECTROGRAM, Frames(height=32, width=32)], store, 0, "skip").unreadable
    assert [type(skipped[0]), len(skipped), skipped[0].clip] == [Unreadable, 1, "clip0"]
    assert "clip0.wav' cannot be read" in skipped[0].message


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_other_errors_are_never_taken_for_unreadable_clips(store, make_clips, monkeypatch, policy):
    def fail(self, path):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Spectrogram, "extract", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        extract_all(make_clips(1), [SPECTROGRAM], store, 0, policy)


@pytest.mark.slow
def test_a_killed_run_is_resumed(store, tmp_path, make_clips):
    clips = make_clips(12, seconds=3)
    feature = Spectrogram(bank=RecursiveGammatone(bands=800))  # slow enough to be killed in the middle
    (tmp_path / "run.py").write_text(RUN_THAT_IS_KILLED)
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "media"), str(store.root)]
    # In a session of its own, so that the kill reaches the workers too, in the middle of what they do.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL, env=environment) as run:
        while len(entries(store)) < 2:
            assert run.poll() is None, "the run ended before it could be killed"
            time.sleep(0.01)
        os.killpg(run.pid, signal.SIGKILL)
    survivors = entries(store)
    assert 2 <= len(survivors) < 12
    assert all(store.verify(entry) for entry in survivors)
    # What a kill inside a write leaves behind:
    (survivors[0].parent / f".{'0' * 32}.1234.partial.npy").write_bytes(survivors[0].read_bytes()[:1000])
    before = {entry: entry.stat().st_mtime_ns for entry in survivors}
    assert extract_all(clips, [feature], store, 0, "stop").unreadable == ()
    assert len(entries(store)) == 12
    assert_complete(store, clips, feature)
    assert {entry: entry.stat().st_mtime_ns for entry in survivors} == before


@pytest.mark.slow
def test_processes_that_start_together_share_the_work_without_talking(write_audio, tmp_path, store):
    media, made = tmp_path / "media", tmp_path / "made"
    media.mkdir()
    made.mkdir()
    for number in range(24):
        write_audio(media / f"{number:02}.wav", seed=number)
    started = []
    for rank in range(2):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "RANK": str(rank), "WORLD_SIZE": "2"}
        command = [sys.executable, "-c", RUN_THAT_SHARES, media, store.root, made / f"{rank}.txt", made]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=300)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], errors
    by_rank = [(made / f"{rank}.txt").read_text().split() for rank in range(2)]
    names = [f"{number:02}" for number in range(24)]
    assert sorted({*by_rank[0], *by_rank[1]}) == names
    assert sum(map(len, by_rank)) <= 24 + 4, "made twice: only what both had under way at the same moment"
    assert [first for first, *_ in by_rank] == names[:2], "each starts at its own place"
    assert errors[1] == "", "one process shows its progress"
    entries = sorted(store.root.glob("spectrogram-*/*.npy"))
    assert len(entries) == 24
    assert all(store.verify(entry) for entry in entries)
    assert not [path for path in store.root.rglob("*") if "partial" in path.name]
