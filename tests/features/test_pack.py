"""All entries of a feature in one file: the same rows, made once, whatever asks for it and however often."""

import pickle
import resource
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sedcrnn.errors import DataError
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone
from sedcrnn.features.pack import Pack, gather, make_pack
from sedcrnn.features.spectrogram import Spectrogram
from sedcrnn.features.store import FeatureStore

FEATURE = Spectrogram(bank=RecursiveGammatone(bands=4))
COLUMNS = (50, 120, 70)


@pytest.fixture
def entries(tmp_path: Path) -> list[Path]:
    store, rng = FeatureStore(tmp_path / "store"), np.random.default_rng(0)
    made = []
    for number, columns in enumerate(COLUMNS):
        source = tmp_path / f"{number}.wav"
        source.write_text(str(number))
        values = rng.integers(-9000, 0, (columns, 3, 4), dtype=np.int16)
        made.append(store.write(source, FEATURE, values))
    return made


def made(entries: list[Path]) -> Pack:
    pack = make_pack(entries)
    assert pack is not None
    return pack


def rows_of(pack: Pack, entry: Path) -> np.ndarray:
    start, end = pack.bounds[entry]
    return pack.values[start:end]


def test_every_entry_is_found_in_it_to_the_last_bit(entries: list[Path]) -> None:
    pack = made(entries)
    for entry in entries:
        assert np.array_equal(rows_of(pack, entry), FeatureStore.open(entry))
        assert rows_of(pack, entry).dtype == np.int16
    assert pack.path.stat().st_size == pytest.approx(sum(COLUMNS) * 3 * 4 * 2, abs=200)  # nothing twice
    with pytest.raises(KeyError):
        rows_of(pack, entries[0].with_name("other.npy"))


def test_it_is_made_once_for_the_same_entries_in_any_order(entries: list[Path]) -> None:
    path = made(entries).path
    state = path.stat().st_mtime_ns
    assert made([*entries[::-1], entries[0]]).path == path
    assert path.stat().st_mtime_ns == state
    other = made(entries[:2])
    assert other.path != path
    assert np.array_equal(rows_of(other, entries[1]), FeatureStore.open(entries[1]))


def test_processes_are_given_its_path_and_not_its_values(entries: list[Path]) -> None:
    pack = made(entries)
    assert len(pickle.dumps(pack)) < 2000
    again = pickle.loads(pickle.dumps(pack))
    assert np.array_equal(rows_of(again, entries[2]), rows_of(pack, entries[2]))


def test_all_who_ask_at_once_wait_for_the_first(entries: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import sedcrnn.features.pack as module

    write, written = module._write, []
    monkeypatch.setattr(module, "_write", lambda path, *of: (written.append(path), write(path, *of)))
    with ThreadPoolExecutor(4) as pool:
        packs = list(pool.map(lambda _: made(entries), range(4)))
    assert len(written) == 1
    assert all(np.array_equal(rows_of(pack, entries[1]), FeatureStore.open(entries[1])) for pack in packs)


def test_without_room_there_is_none_and_that_is_said(
    entries: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    usage = shutil.disk_usage(entries[0].parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    assert make_pack(entries) is None
    assert "3 files of the store stay apart, which is slower" in caplog.text
    assert not list(entries[0].parent.rglob("packed/*.npy"))


@pytest.mark.parametrize("free", [100, 10**9])
def test_rows_of_all_entries_are_those_of_each(entries: list[Path], monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    usage = shutil.disk_usage(entries[0].parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    chosen = [entries[2], entries[0], entries[1]]
    rows = gather(chosen)
    assert rows.count.tolist() == [70, 50, 120]
    assert rows.values.shape == (240, 3, 4)
    for entry, first, count in zip(chosen, rows.first, rows.count, strict=True):
        assert np.array_equal(rows.values[first : first + count], FeatureStore.open(entry))
    assert isinstance(rows.values.base, np.memmap) == (free > 1000)
    changed = rows.values[0, 0, 0] = 7
    assert changed not in gather(chosen).values[0, 0], "what is written stays with the process"


def test_any_number_of_entries_takes_few_open_files(tmp_path: Path) -> None:
    store, entries = FeatureStore(tmp_path / "store"), []
    for number in range(60):
        source = tmp_path / f"{number}.wav"
        source.write_text(str(number))
        entries.append(store.write(source, FEATURE, np.full((5, 3, 4), number, np.int16)))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with (tmp_path / "next").open("w") as file:
        resource.setrlimit(resource.RLIMIT_NOFILE, (file.fileno() + 30, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            _ = [FeatureStore.open(entry) for entry in entries]
        rows = gather(entries)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert rows.values[rows.first, 0, 0].tolist() == list(range(60))


def test_an_entry_that_is_gone_is_named(entries: list[Path]) -> None:
    entries[1].unlink()
    with pytest.raises(DataError, match=f"{entries[1].stem}.* is not in the store"):
        make_pack(entries)


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "no ends", "broken ends", "other ends"])
def test_a_damaged_one_is_made_again(entries: list[Path], damage: str, caplog: pytest.LogCaptureFixture) -> None:
    path = made(entries).path
    whole, ends = path.read_bytes(), path.with_suffix(".ends.npy")
    if damage == "no ends":
        ends.unlink()
    elif damage == "other ends":
        np.save(ends, np.array([1, 2]))
    else:
        file = ends if damage == "broken ends" else path
        file.write_bytes({"empty": b"", "cut": whole[:500], "garbage": b"x" * len(whole), "broken ends": b"y"}[damage])
    pack = made(entries)
    assert path.read_bytes() == whole
    assert all(np.array_equal(rows_of(pack, entry), FeatureStore.open(entry)) for entry in entries)
    assert "is damaged" in caplog.text
