"""Zip file -> members that stay inside the folder -> files, each whole or not there."""

import os
import shutil
import stat
import threading
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from sedcrnn.datasets.fetch import DiskError, Stopped, writing
from sedcrnn.errors import DataError


def unpack(archive: Path, folder: Path, stop: threading.Event) -> dict[str, int]:
    """Unpack a zip file into a folder, until `stop` is set; what an interrupted call has unpacked is verified and kept.

    Returns:
        Member -> size in bytes. All of them are on disk when this returns, even after a power failure.

    Raises:
        DataError: not a whole zip file, or one with links or members that would leave the folder; none are unpacked.
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
    """Bytes of the files that are still to be unpacked; 0 for a broken zip file, which `unpack` refuses."""
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
    return zlib.crc32(path.read_bytes()) == member.CRC  # one clip's media, which is little


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
    """One file, under another name first. (Not `files.atomic`, which waits for the disk at every file.)"""
    path = folder / member.filename
    partial = path.with_name(f".{path.name}.partial")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with contents.open(member) as packed, partial.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
