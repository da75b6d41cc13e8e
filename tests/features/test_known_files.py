"""What is known of files survives a damaged database as far as it can: it is made again, or done without, and told."""

import os
import sqlite3
from pathlib import Path

import pytest

from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone
from sedcrnn.features.known_files import KnownFiles
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.features.store import FeatureStore

ONE = {"/a.wav": ("1 2 3", "abcd")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "known.sqlite"


def test_what_is_written_down_is_looked_up(path: Path) -> None:
    many = {f"/{number}.wav": (f"{number} 0 0", "d" * 32) for number in range(1203)}
    KnownFiles(path).write_down(many)
    assert KnownFiles(path).look_up([*many, "/other.wav"]) == many
    KnownFiles(path).write_down({"/7.wav": ("8 0 0", "e")})
    assert KnownFiles(path).look_up(["/7.wav"]) == {"/7.wav": ("8 0 0", "e")}


def test_names_may_be_other_bytes_than_utf_8(path: Path) -> None:
    name = os.fsdecode(b"/b\xfc.wav")
    KnownFiles(path).write_down({name: ("1", "2")})
    assert KnownFiles(path).look_up([name, "/b.wav"]) == {name: ("1", "2")}


@pytest.mark.parametrize(
    "content", [b"no database", b"", b"\0" * 8192, "cut", "flipped", "another table", "a column less"]
)
def test_a_damaged_database_is_made_again(path: Path, content: bytes | str, caplog: pytest.LogCaptureFixture) -> None:
    known = KnownFiles(path)
    known.write_down({f"/{number}.wav": (f"{number}", "d" * 32) for number in range(2000)})
    whole = path.read_bytes()
    if content in ("another table", "a column less"):
        path.unlink()
        with sqlite3.connect(path) as connection:
            connection.execute(f"CREATE TABLE {'other' if content == 'another table' else 'files'} (path TEXT)")
    else:
        damage = {"cut": whole[:5000], "flipped": whole[:100] + bytes(byte ^ 255 for byte in whole[100:9000])}
        path.write_bytes(content if isinstance(content, bytes) else damage[content] + whole[9000:])
    for used in (known, KnownFiles(path)):  # one that was there before, and one that finds it so
        used.write_down(ONE)
        assert used.look_up(["/a.wav"]) == ONE
    assert content in (b"", "another table") or "and is made again" in caplog.text


def test_a_database_that_cannot_be_used_is_done_without(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.mkdir()
    known = KnownFiles(path)
    known.write_down(ONE)
    assert known.look_up(["/a.wav"]) == {}
    assert "known.sqlite cannot be used (unable to open database file): it is done without." in caplog.text


def test_a_database_that_another_process_holds_is_waited_for_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = KnownFiles(path, timeout=0.2)
    with sqlite3.connect(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert known.look_up(["/a.wav"]) == {}
        assert known.timeout == 0
        known.write_down(ONE)
    assert "(database is locked)" in caplog.text


def test_a_store_with_a_damaged_database_finds_its_entries_again(tmp_path: Path) -> None:
    source, feature = tmp_path / "a.wav", Spectrogram(bank=RecursiveGammatone(bands=4))
    source.write_bytes(b"sound")
    store = FeatureStore(tmp_path / "store")
    key = store.key(source, feature)
    (store.root / "known.sqlite").write_bytes(b"broken")
    assert FeatureStore(store.root).key(source, feature) == key
