"""Zip file -> members that stay inside the folder -> files, each whole or not there."""

import os
import shutil
import stat
import threading
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from sedcrnn.datasets.fetch import DiskError, Stopped
from sedcrnn.errors import DataError

CHUNK = 1 << 20


def unpack(archive: Path, folder: Path, stop: threading.Event) -> dict[str, int]:
    """Unpack a zip file; what an interrupted call has unpacked is verified and kept.

    Args:
        archive: the zip file.
        folder: where to.
        stop: ends the work when set.

    Returns:
        Member -> size in bytes. All of them are on disk when this returns, even after a power failure.

    Raises:
        DataError: not a whole zip file, or a member that would leave the folder or is a link. Of such an archive
            nothing is unpacked.
        DiskError: not enough space, or a file that cannot be written.
        Stopped: `stop` was set.
    """
    try:
        with zipfile.ZipFile(archive) as contents:
            members = [member for member in contents.infolist() if not member.is_dir()]
            for member in members:
                _check_member(archive, member)
            to_do = [member for member in members if not _is_whole(folder / member.filename, member)]
            _check_space(archive, folder, sum(member.file_size for member in to_do))
            for member in to_do:
                if stop.is_set():
                    raise Stopped
                _extract(contents, member, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(
            f"{archive} cannot be unpacked: {error}",
            "It is a zip file, whole and not encrypted",
            "Delete it, and run the same command again to fetch it anew",
        ) from error
    os.sync()
    return {member.filename: member.file_size for member in members}


def missing_bytes(archive: Path, folder: Path) -> int:
    """Bytes that the files of a zip file will take which are not there yet; 0 if it cannot be read, which `unpack`
    tells."""
    try:
        with zipfile.ZipFile(archive) as contents:
            return sum(member.file_size for member in contents.infolist() if not (folder / member.filename).is_file())
    except zipfile.BadZipFile:
        return 0


def _check_member(archive: Path, member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    mode = member.external_attr >> 16
    if path.is_absolute() or ".." in path.parts or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
        raise DataError(
            f"{archive} holds the member '{member.filename}'",
            "Members are plain files, and stay inside the folder that they are unpacked to",
            "Do not use this archive: it is not a published one. Nothing of it has been unpacked",
        )


def _is_whole(path: Path, member: zipfile.ZipInfo) -> bool:
    if not path.is_file() or path.stat().st_size != member.file_size:
        return False
    checksum = 0
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            checksum = zlib.crc32(data, checksum)
    return checksum == member.CRC


def _check_space(archive: Path, folder: Path, needed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskError(
            f"{folder} has {free / 1e9:.1f} GB of free space",
            f"The files in {archive.name} need {needed / 1e9:.1f} GB",
            "Make room, then run the same command again; it goes on from there",
        )


def _extract(contents: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    """One file, beside its place first. (Not `files.atomic`, which waits for the disk at every file.)"""
    path = folder / member.filename
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contents.open(member) as packed, partial.open("wb") as file:
            shutil.copyfileobj(packed, file, CHUNK)
        partial.replace(path)
    except OSError as error:
        raise DiskError(
            f"{path} cannot be written: {error.strerror or error}",
            "What was unpacked before it is kept",
            "Make room or correct the permissions, then run the same command again; it goes on from there",
        ) from error
    finally:
        partial.unlink(missing_ok=True)
