"""A digest at the end of a file -> whether the file is still as it was written.

A flipped bit or a block of zeros in weights shows in no other way: torch and ONNX Runtime load them without a word. The
digest stands where the form of a file allows for it, as the comment of a zip archive or the last entry of a protobuf
message, so that every other program reads the file as before. It tells damage, not intent: whoever changes a file can
seal it again.
"""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

SEAL = 64  # decimal digits, the first of which is no zero: a number in JSON, as all metadata of ONNX files are
UNSEALED = b"1" * SEAL
"""What whoever writes a file leaves at its end for the seal."""

_BLOCK = 1 << 20  # bytes that are read at once


def seal(path: Path) -> None:
    """Put the digest of a file in place of `UNSEALED`, its last bytes."""
    with path.open("rb+") as file:
        digest = _digest(file)
        file.seek(-SEAL, os.SEEK_END)
        file.write(digest)


def is_sealed(path: Path) -> bool:
    """Whether a file ends in the digest of all that is before."""
    with path.open("rb") as file:
        return _digest(file) == file.read(SEAL)


def _digest(file: BinaryIO) -> bytes:
    """The digest of all but the last bytes, before which the file then stands."""
    state = hashlib.sha256()
    left = max(0, file.seek(0, os.SEEK_END) - SEAL)
    file.seek(0)
    while left and (block := file.read(min(left, _BLOCK))):
        state.update(block)
        left -= len(block)
    least = 10 ** (SEAL - 1)
    return str(least + int.from_bytes(state.digest()) % least).encode()
