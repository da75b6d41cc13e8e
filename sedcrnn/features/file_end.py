"""Media file -> how it ends before the end that it states, from its structure alone, without decoding.

Every container that states sizes states them in bytes, so one rule finds a cut file of any kind. Recorders that were
killed, and programs that write to a pipe, leave sizes of nothing or of the most that fits: these state no end.
"""

import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from os import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

SLACK = 1024  # bytes by which a stated end may be wrong: some writers count a chunk's header or padding twice
MISSING_END = Fraction(1, 5)  # seconds by which a track may fall short of a length that its file states
MOST_CHUNKS = 1000  # that are looked through for the audio
UNKNOWN = 0x7FFFF000  # sizes from here to 32 bits stand for "not known" where a program wrote to a pipe
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"pnot", b"uuid", b"moof", b"sidx")


class Chunks(NamedTuple):
    """How a format of chunks lays them out: where the first is, the header (name, size), its length, whether the size
    counts the header too, what they are padded to, and which one holds the audio."""

    first: int
    header: str
    length: int
    inclusive: bool
    padding: int
    audio: bytes


CHUNKED = {
    b"RIFF": Chunks(12, "<4sI", 8, False, 2, b"data"),
    b"RIFX": Chunks(12, ">4sI", 8, False, 2, b"data"),
    b"FORM": Chunks(12, ">4sI", 8, False, 2, b"SSND"),
    b"riff": Chunks(40, "<4s12xQ", 24, True, 8, b"data"),  # Sony's W64, whose names are 16 bytes long
    b"caff": Chunks(8, ">4sq", 12, False, 1, b"data"),
}


def cut(path: Path) -> str | None:
    """How the file is cut off, in words; None where it is whole, or states no end.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        if head[:4] == b"OggS":
            file.seek(max(0, size - (1 << 16)))
            return None if _ends_a_stream(file.read()) else "is truncated: the last page of its Ogg stream is missing"
        end = _stated_end(head)(file)
    if end is None or end <= size + SLACK:
        return None
    return f"is truncated: it has {size:,} bytes, and its header names {end:,}"


def joined(path: Path) -> str | None:
    """That the file is several of its kind, one behind another, of which readers know the first alone, in words; None
    where it is one. Nothing is said of kinds that are read to their last part, nor of FLAC and FLV, without sizes.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(16)
        if head[4:8] in BOXES:
            names = [name for name, _ in _boxes(file)]
            several = names.count(b"moov") > 1 and b"moof" not in names  # of fragments, all are read
        elif head[:4] in (b"RIFF", b"RIFX", b"FORM") and head[8:11] != b"AVI":
            (length,) = _read(file, 4, "<I" if head[:4] == b"RIFF" else ">I")
            several = _follows(file, 8 + length + length % 2, head[:4])
        else:
            several = head[:4] == b".snd" and _follows(file, _au_end(file) or 0, head[:4])
    return "is several files joined into one, of which only the first would be read" if several else None


def _follows(file: BinaryIO, place: int, name: bytes) -> bool:
    file.seek(place)
    return place > 0 and file.read(4) == name


def _stated_end(head: bytes) -> Callable[[BinaryIO], int | None]:
    if head[:4] in (b"RF64", b"BW64"):
        return _rf64_end
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        return _avi_end
    if head[:4] in CHUNKED:
        return _chunk_end
    if head[:4] == b".snd":
        return _au_end
    if head[:4] == b"\x1aE\xdf\xa3":
        return _matroska_end
    if head[4:8] in BOXES:
        return _box_end
    if head[:4] == b"0&\xb2u":
        return _asf_end
    if head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
        return _mp3_end
    return _no_end


def _read(file: BinaryIO, place: int, form: str) -> tuple[Any, ...]:
    """Numbers at a place in the file; nothing read counts as zeros."""
    file.seek(place)
    length = struct.calcsize(form)
    return struct.unpack(form, file.read(length).ljust(length, b"\0"))


def _size(file: BinaryIO) -> int:
    return file.seek(0, SEEK_END)


def _no_end(_: BinaryIO) -> None:
    """What states no size: transport streams, raw streams of any coding, FLV."""


def _au_end(file: BinaryIO) -> int | None:
    start, length = _read(file, 4, ">II")
    return start + length if length < UNKNOWN else None


def _chunk_end(file: BinaryIO) -> int | None:
    """The end of the chunk with the audio; what is behind it, such as a title, may be missing."""
    file.seek(0)
    layout = CHUNKED[file.read(4)]
    place = layout.first
    for _ in range(MOST_CHUNKS):
        name, length = _read(file, place, layout.header)
        if layout.inclusive:
            length -= layout.length
        if name == layout.audio:
            known = length > 0 and (layout.length > 8 or length < UNKNOWN)
            return place + layout.length + length if known else None
        if length < 0 or not name.strip(b"\0"):  # nothing more
            return None
        place += layout.length + -(-length // layout.padding) * layout.padding
    return None


def _rf64_end(file: BinaryIO) -> int | None:
    """RIFF of more than 4 GiB: the chunk ds64 in front has the sizes."""
    (riff,) = _read(file, 20, "<Q")
    return riff + 8 if 0 < riff < 1 << 62 else None


def _avi_end(file: BinaryIO) -> int | None:
    """AVI of more than a gigabyte is several RIFF lists, one after another."""
    end, size = 0, _size(file)
    while end < size:
        name, length = _read(file, end, "<4sI")
        if name != b"RIFF" or not 0 < length < UNKNOWN:
            break
        end += 8 + length + length % 2
    return end or None


def _matroska_end(file: BinaryIO) -> int | None:
    """The end of the segment, the one element behind the EBML header."""
    header, place = _variable(file, 4)
    place += header or 0
    if _read(file, place, ">I") != (0x18538067,):
        return None
    length, place = _variable(file, place + 4)
    return None if length is None else place + length


def _variable(file: BinaryIO, place: int) -> tuple[int | None, int]:
    """EBML's number of variable length at a place, None where all its bits are set, and the place behind it."""
    (first,) = _read(file, place, "B")
    length = 9 - first.bit_length()
    file.seek(place)
    value = int.from_bytes(file.read(length), "big") & ((1 << 7 * length) - 1)
    return (None if value == (1 << 7 * length) - 1 else value), place + length


def _box_end(file: BinaryIO) -> int | None:
    """The end of the last of the outermost boxes of mp4 and mov."""
    *_, (_, end) = _boxes(file)
    return end


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int | None]]:
    """The names of the outermost boxes and their ends; None: to the end of the file, or no box at all."""
    place, size = 0, _size(file)
    while place < size:
        length, name = _read(file, place, ">I4s")
        if length == 1:
            (length,) = _read(file, place + 8, ">Q")
        if length < 8 or not bytes(name).isalnum():
            yield name, None
            return
        place += length
        yield name, place


def _asf_end(file: BinaryIO) -> int | None:
    file.seek(0)
    head = file.read(1 << 16)
    place = head.find(ASF_PROPERTIES)
    if place < 0 or len(head) < place + 92 or head[place + 88] & 1:  # a broadcast does not know its size
        return None
    return int.from_bytes(head[place + 40 : place + 48], "little") or None


def _mp3_end(file: BinaryIO) -> int | None:
    """Encoders write into a first silent frame (Xing, Info) how many bytes they have written."""
    file.seek(0)
    tag = file.read(10)
    place = 0
    if tag[:3] == b"ID3":
        place = 10 + sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(tag[6:10]))
    file.seek(place)
    frame = file.read(256)
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 0 or len(frame) < at + 16:
        return place  # behind a tag, which may hold a picture
    (flags,) = struct.unpack(">I", frame[at + 4 : at + 8])
    if not flags & 2:
        return None
    count = at + 8 + 4 * (flags & 1)
    return place + int.from_bytes(frame[count : count + 4], "big")


def _ends_a_stream(tail: bytes) -> bool:
    """Whether the last Ogg page in the last bytes of a file is whole, and says that it is a stream's last."""
    place = tail.rfind(b"OggS")
    if place < 0 or len(tail) < place + 27:
        return False
    segments = tail[place + 27 : place + 27 + tail[place + 26]]
    whole = place + 27 + len(segments) + sum(segments) <= len(tail)
    return bool(whole and len(segments) == tail[place + 26] and tail[place + 5] & 4)
