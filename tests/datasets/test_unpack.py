"""Members stay inside the folder and are whole or not there."""

import stat
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sedcrnn.datasets import unpack as unpacking
from sedcrnn.datasets.fetch import DiskError, Stopped
from sedcrnn.datasets.unpack import missing_bytes, unpack
from sedcrnn.errors import DataError

AUDIO = np.random.default_rng(0).bytes(200_000)
MEMBERS = {"audio/a.wav": AUDIO, "audio/b.wav": AUDIO[::-1], "meta.csv": b"names"}


def packed(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as contents:
        for name, content in members.items():
            contents.writestr(name, content)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return packed(tmp_path / "a.zip", MEMBERS)


def unpacked(archive: Path, folder: Path) -> dict[str, int]:
    return unpack(archive, folder, threading.Event())


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_members_become_files(archive: Path, tmp_path: Path) -> None:
    assert unpacked(archive, tmp_path / "to") == {"audio/a.wav": 200_000, "audio/b.wav": 200_000, "meta.csv": 5}
    assert files_in(tmp_path / "to") == MEMBERS


def test_what_is_whole_is_kept_and_what_is_not_is_unpacked_again(archive: Path, tmp_path: Path) -> None:
    unpacked(archive, tmp_path / "to")
    kept, damaged, cut = (tmp_path / "to" / name for name in MEMBERS)
    before = kept.stat().st_mtime_ns
    damaged.write_bytes(bytes(200_000))  # as a power failure leaves it: the right size, and zeros
    cut.write_bytes(b"na")
    unpacked(archive, tmp_path / "to")
    assert files_in(tmp_path / "to") == MEMBERS
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["../outside.wav", "audio/../../outside.wav", "/outside.wav", "..\\outside.wav"])
def test_a_member_that_would_leave_the_folder_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    archive = packed(tmp_path / "a.zip", {"audio/a.wav": AUDIO, name: b"x"})
    with pytest.raises(DataError, match=r"holds the member '.*outside\.wav'.*Nothing of it has been unpacked"):
        unpacked(archive, tmp_path / "to")
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("audio")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as contents:
        contents.writestr(link, "/etc")
        contents.writestr("audio/a.wav", AUDIO)
    with pytest.raises(DataError, match="holds the member 'audio'"):
        unpacked(tmp_path / "a.zip", tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_a_damaged_member_is_reported_and_leaves_no_half_file(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", MEMBERS, zipfile.ZIP_STORED)
    content = bytearray(archive.read_bytes())
    content[content.index(AUDIO[::-1]) + 100_000] ^= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be unpacked: Bad CRC-32.*audio/b\.wav"):
        unpacked(archive, tmp_path / "to")
    assert files_in(tmp_path / "to") == {"audio/a.wav": AUDIO}


@pytest.mark.parametrize("content", [b"", b"<html></html>", "truncated"])
def test_what_is_no_zip_file_is_reported(archive: Path, tmp_path: Path, content: bytes | str) -> None:
    archive.write_bytes(archive.read_bytes()[:-100] if isinstance(content, str) else content)
    with pytest.raises(DataError, match="cannot be unpacked: File is not a zip file"):
        unpacked(archive, tmp_path / "to")
    assert missing_bytes(archive, tmp_path / "to") == 0


def test_too_little_space_is_reported_before_anything_is_written(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = unpacking.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda _: usage._replace(free=400_000))
    with pytest.raises(DiskError, match=r"The files in a\.zip need"):
        unpacked(archive, tmp_path / "to")
    assert files_in(tmp_path / "to") == {}


def test_a_full_disk_is_reported_and_leaves_no_half_file(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "to" / "audio").mkdir(parents=True)
    (tmp_path / "to" / "audio" / ".b.wav.partial").symlink_to("/dev/full")  # every write: no space left on device
    with pytest.raises(DiskError, match=r"b\.wav cannot be written: No space left on device.*Make room"):
        unpacked(archive, tmp_path / "to")
    assert files_in(tmp_path / "to") == {"audio/a.wav": AUDIO}
    unpacked(archive, tmp_path / "to")
    assert files_in(tmp_path / "to") == MEMBERS


def test_what_is_missing_is_counted(archive: Path, tmp_path: Path) -> None:
    assert missing_bytes(archive, tmp_path / "to") == 400_005
    unpacked(archive, tmp_path / "to")
    assert missing_bytes(archive, tmp_path / "to") == 0
    (tmp_path / "to" / "meta.csv").unlink()
    assert missing_bytes(archive, tmp_path / "to") == 5


def test_it_can_be_stopped(archive: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        unpack(archive, tmp_path / "to", stop)
    assert files_in(tmp_path / "to") == {}
