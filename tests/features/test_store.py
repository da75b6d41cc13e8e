import pickle

import numpy as np
import pytest

from sedcrnn.errors import ClipError, DataError
from sedcrnn.features.filterbanks.gammatone_fourier import FourierGammatone
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone
from sedcrnn.features.filterbanks.short_time import CQTBank, GammatoneSTFTBank, MelBank
from sedcrnn.features.frames import Frames
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.features.store import FeatureStore

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
    monkeypatch.setattr(Spectrogram, "parameters", lambda self: {**parameters, "version": 3})
    newer = store.key(source, SPECTROGRAM)
    monkeypatch.setattr(Spectrogram, "name", "other")
    assert len({before, newer, store.key(source, SPECTROGRAM)}) == 3


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


def test_a_failed_write_leaves_nothing(store, source):
    with pytest.raises(ValueError, match="Object arrays"):
        store.write(source, SPECTROGRAM, np.array([object()]))
    folder = store.path(source, SPECTROGRAM).parent
    assert [path.name for path in folder.iterdir()] == ["parameters.json"]
