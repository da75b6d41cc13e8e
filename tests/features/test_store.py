import math
import os
import pickle
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

from sedcrnn.errors import ClipError, DataError
from sedcrnn.features.filterbanks.gammatone_fourier import FourierGammatone
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone
from sedcrnn.features.filterbanks.short_time import CQTBank, GammatoneSTFTBank, MelBank
from sedcrnn.features.frames import Frames
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.features.store import FeatureStore

# Entries of the file `source` in the store, as version 0.2.0 named them.
KNOWN = (
    "spectrogram-c0cacf87f0f4ce16/9c0add693a2c8a6c711ee0b1caa990ed.npy",
    "frames-ba3a207506e216c1/da91c3120470959ac0efab3d88cb9377.npy",
)
VALUES = np.arange(50 * 3 * 4, dtype=np.int16).reshape(50, 3, 4)
SPECTROGRAM = Spectrogram(bank=RecursiveGammatone())


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "store")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"some sound")
    return path


def test_what_is_written_is_read_without_a_copy(store, source):
    entry = store.write(source, SPECTROGRAM, VALUES)
    read = store.read(source, SPECTROGRAM)
    np.testing.assert_array_equal(read, VALUES)
    assert isinstance(read, np.memmap)
    assert read.dtype == np.int16
    np.testing.assert_array_equal(np.load(entry), VALUES)  # a plain .npy file to everybody else
    assert entry == store.path(source, SPECTROGRAM)
    assert store.verify(entry)


def test_the_folder_says_what_is_in_it(store, source):
    entry = store.write(source, SPECTROGRAM, VALUES)
    assert entry.parent.name.startswith("spectrogram-")
    assert sorted(path.name for path in entry.parent.iterdir()) == sorted([entry.name, "parameters.json"])
    assert '"analysis_rate": 44100' in (entry.parent / "parameters.json").read_text()


@pytest.mark.parametrize(
    "other",
    [
        {"channels": "mono"},
        {"sample_rate": 32000},
        {"hop": 0.01},
        {"amin": 1e-6},
        {"bank": RecursiveGammatone(bands=32)},
        {"bank": RecursiveGammatone(window=0.06)},
        {"bank": RecursiveGammatone(low_hz=20.0)},
        {"bank": RecursiveGammatone(high_hz=16000.0)},
        {"bank": FourierGammatone()},
        {"bank": FourierGammatone(dtype="float64")},
        {"bank": FourierGammatone(piece=2.0)},
        {"bank": GammatoneSTFTBank()},
        {"bank": GammatoneSTFTBank(window=0.06)},
        {"bank": MelBank()},
        {"bank": MelBank(window=0.06)},
        {"bank": CQTBank()},
        {"bank": CQTBank(filter_scale=0.5)},
    ],
)
def test_the_key_changes_with_every_parameter_of_the_spectrogram(store, source, other):
    changed = Spectrogram(**{"bank": RecursiveGammatone(), **other})
    assert store.key(source, changed) != store.key(source, SPECTROGRAM)
    assert store.path(source, changed).parent != store.path(source, SPECTROGRAM).parent


@pytest.mark.parametrize("other", [{"height": 112}, {"width": 112}, {"antialias": True}])
def test_the_key_changes_with_every_parameter_of_the_frames(store, source, other):
    changed = Frames(**{"height": 224, "width": 224, **other})
    assert store.key(source, changed) != store.key(source, Frames(height=224, width=224))


def test_the_key_changes_with_the_name_and_the_version(store, source, monkeypatch):
    before = store.key(source, SPECTROGRAM)
    parameters = SPECTROGRAM.parameters()
    monkeypatch.setattr(Spectrogram, "parameters", lambda self: {**parameters, "version": 4})
    newer = store.key(source, SPECTROGRAM)
    monkeypatch.setattr(Spectrogram, "name", "other")
    assert len({before, newer, store.key(source, SPECTROGRAM)}) == 3


def test_keys_stay_the_same_from_version_to_version(store, source):
    assert store.path(source, SPECTROGRAM).relative_to(store.root).as_posix() == KNOWN[0]
    assert store.path(source, Frames(height=224, width=224)).relative_to(store.root).as_posix() == KNOWN[1]
    assert store.key(source, SPECTROGRAM) == Path(KNOWN[0]).stem


def test_the_key_follows_content_and_not_path(store, source, tmp_path):
    key = store.key(source, SPECTROGRAM)
    moved = source.rename(tmp_path / "b.wav")
    assert store.key(moved, SPECTROGRAM) == key
    moved.write_bytes(b"same sound"[::-1])  # of the same length
    assert store.key(moved, SPECTROGRAM) != key


def test_the_key_follows_content_however_fast_it_changes(store, source):
    keys = set()
    for number in range(10):
        source.write_bytes(bytes([number]))
        keys.add(store.key(source, SPECTROGRAM))
    assert len(keys) == 10


def test_files_are_hashed_once_over_all_processes(store, source, monkeypatch):
    key = store.key(source, SPECTROGRAM)
    monkeypatch.setattr("hashlib.file_digest", None)  # would fail if it were called
    assert store.key(source, SPECTROGRAM) == key
    assert FeatureStore(store.root).key(source, SPECTROGRAM) == key
    assert pickle.loads(pickle.dumps(store)).key(source, SPECTROGRAM) == key


def test_absent_files_are_listed_but_absent(store, tmp_path):
    with pytest.raises(ClipError, match=r"gone\.wav' is listed but absent"):
        store.key(tmp_path / "gone.wav", SPECTROGRAM)


def test_features_that_were_not_made_are_named(store, source):
    with pytest.raises(DataError, match=r"spectrogram-.*is not in the store"):
        store.read(source, SPECTROGRAM)


@pytest.mark.parametrize("damage", ["torn", "truncated", "empty", "header flipped", "data flipped", "seal flipped"])
def test_damage_is_detected(store, source, damage):
    entry = store.write(source, SPECTROGRAM, VALUES)
    assert store.knows(source, SPECTROGRAM)
    content = bytearray(entry.read_bytes())
    if damage == "torn":  # the length is there, the end of the data is not
        content[-500:] = bytes(500)
    elif damage == "truncated":
        del content[-1:]
    elif damage == "empty":
        content.clear()
    else:
        content[{"header flipped": 20, "data flipped": 700, "seal flipped": -3}[damage]] ^= 1
    entry.write_bytes(content)
    assert not store.knows(source, SPECTROGRAM)
    assert not store.verify(entry)
    assert not FeatureStore(store.root).verify(entry)


def test_an_entry_is_known_until_it_changes(store, source):
    assert not store.knows(source, SPECTROGRAM)
    entry = store.write(source, SPECTROGRAM, VALUES)
    assert store.knows(source, SPECTROGRAM)
    assert FeatureStore(store.root).knows(source, SPECTROGRAM)
    entry.unlink()
    assert not store.knows(source, SPECTROGRAM)
    assert not store.verify(entry)


@pytest.fixture
def sources(tmp_path):
    paths = [tmp_path / f"{number}.wav" for number in range(20)]
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


@pytest.fixture
def connections(monkeypatch):
    """Every connection to a database that is opened."""
    opened, connect = [], sqlite3.connect
    monkeypatch.setattr("sqlite3.connect", lambda *given, **named: opened.append(given) or connect(*given, **named))
    return opened


def test_many_files_are_looked_up_at_once_and_then_remembered(store, sources, connections):
    for source in sources:
        store.write(source, SPECTROGRAM, VALUES)
    other = FeatureStore(store.root)
    connections.clear()
    assert other.known(sources, SPECTROGRAM) == [True] * 20
    assert len(connections) == 2  # for the files, and for their entries
    connections.clear()
    assert other.known(sources, SPECTROGRAM) == [True] * 20
    assert other.paths(sources, SPECTROGRAM) == [store.path(source, SPECTROGRAM) for source in sources]
    assert connections == []


def test_of_many_files_those_are_unknown_that_changed_or_went(store, sources, tmp_path):
    for source in sources[:5]:
        store.write(source, SPECTROGRAM, VALUES)
    keys = store.keys(sources, SPECTROGRAM)
    assert len(set(keys)) == 20
    longer, rewritten, put_back, entry = sources[0], sources[1], sources[2], store.path(sources[3], SPECTROGRAM)
    longer.write_bytes(b"0.wav, longer")
    rewritten.write_bytes(b"other")
    times = put_back.stat()
    put_back.write_bytes(b"2.wav"[::-1])
    os.utime(put_back, ns=(times.st_atime_ns, times.st_mtime_ns))  # only the inode's own time tells
    os.utime(entry)
    for used in (store, FeatureStore(store.root)):
        assert used.known([*sources[:6], tmp_path / "gone.wav"], SPECTROGRAM) == [False] * 4 + [True] + [False] * 2
    changed = [old != new for old, new in zip(keys, store.keys(sources, SPECTROGRAM), strict=True)]
    assert changed == [True] * 3 + [False] * 17
    with pytest.raises(ClipError, match=r"gone\.wav' is listed but absent"):
        store.keys([sources[0], tmp_path / "gone.wav"], SPECTROGRAM)


def test_what_two_stores_learn_at_once_both_know(store, sources):
    other = FeatureStore(store.root)
    assert other.known(sources, SPECTROGRAM) == [False] * 20
    with store.saving_every(math.inf), other.saving_every(math.inf):
        for source in sources[:12]:
            store.write(source, SPECTROGRAM, VALUES)
        for source in sources[12:]:
            other.write(source, SPECTROGRAM, VALUES)
        assert FeatureStore(store.root).known(sources, SPECTROGRAM) == [False] * 20
    for used in (store, other, FeatureStore(store.root)):
        assert used.known(sources, SPECTROGRAM) == [True] * 20


def test_what_is_learnt_is_written_down_at_once_or_only_so_often(store, sources, monkeypatch):
    clock = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: clock)
    store.write(sources[0], SPECTROGRAM, VALUES)
    with store.saving_every(2.0):
        store.write(sources[1], SPECTROGRAM, VALUES)
        assert FeatureStore(store.root).known(sources[:3], SPECTROGRAM) == [True, False, False]
        clock += 2
        store.write(sources[2], SPECTROGRAM, VALUES)
        assert FeatureStore(store.root).known(sources[:3], SPECTROGRAM) == [True, True, False]
        store.write(sources[3], SPECTROGRAM, VALUES)
    assert FeatureStore(store.root).known(sources[:5], SPECTROGRAM) == [True] * 4 + [False]


def test_what_one_process_learns_another_may_write_down(store, sources):
    with store.saving_every(math.inf):
        store.write(sources[0], SPECTROGRAM, VALUES)
        learnt = store.take_unsaved()
    assert len(learnt) == 2  # the file and its entry
    other = FeatureStore(store.root)
    assert not other.knows(sources[0], SPECTROGRAM)
    other.remember(learnt)
    assert other.knows(sources[0], SPECTROGRAM)
    assert FeatureStore(store.root).knows(sources[0], SPECTROGRAM)


def test_a_store_that_cannot_be_written_is_read(store, sources, monkeypatch, caplog):
    store.write(sources[0], SPECTROGRAM, VALUES)
    connect = sqlite3.connect
    monkeypatch.setattr("sqlite3.connect", lambda file, **named: connect(f"file:{file}?mode=ro", uri=True, **named))
    readable = FeatureStore(store.root)
    assert readable.known(sources[:2], SPECTROGRAM) == [True, False]
    np.testing.assert_array_equal(readable.read(sources[0], SPECTROGRAM), VALUES)
    assert caplog.messages == []
    assert readable.key(sources[1], SPECTROGRAM) == store.key(sources[1], SPECTROGRAM)
    assert "(attempt to write a readonly database): what 1 file(s) hold is found out anew each time." in caplog.text


def test_a_failed_write_leaves_nothing(store, source):
    with pytest.raises(ValueError, match="Object arrays"):
        store.write(source, SPECTROGRAM, np.array([object()]))
    folder = store.path(source, SPECTROGRAM).parent
    assert [path.name for path in folder.iterdir()] == ["parameters.json"]
