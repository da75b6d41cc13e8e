"""Damaged media of every kind through the real reader: each is read, or refused in words, within its time and memory.

python -m tests.fuzz.media [number] [seed]     (make fuzz)

Bytes are flipped, overwritten, left out or put in, and files are cut. What ends in anything but values or a ClipError,
takes longer than 20 s or more than 2 GB, or ends the process, is a fault; the file that was read last is kept.
"""

import faulthandler
import random
import resource
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType

import av
import numpy as np

from sedcrnn.datasets.headers import read_audio_header, read_video_header
from sedcrnn.errors import ClipError
from sedcrnn.features.audio_file import open_audio
from sedcrnn.features.frames import Frames
from tests.fuzz.known_media import Film, write

SECONDS, GROWTH_KB = 20, 2_000_000
FILMS = (
    Film("mp4", "aac", "libx264"),
    Film("mov", "pcm_s16le", "mjpeg"),
    Film("mkv", "libopus", "libx264"),
    Film("webm", "libopus", "libvpx"),
    Film("ts", "mp2", "mpeg2video"),
    Film("flv", "aac", "flv", rate=44100),
    Film("avi", "libmp3lame", "mpeg4"),
    Film("wmv", "wmav2", "mpeg4"),
    Film("wav", "pcm_s16le"),
    Film("flac", "flac"),
    Film("mp3", "libmp3lame"),
    Film("ogg", "flac"),
)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A copy with one to three kinds of damage, near its beginning as often as anywhere."""
    damaged = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        size = len(damaged)
        place = rng.randrange(max(1, min(size, rng.choice((64, 2000, size)))))
        match rng.choice(("flip", "flip", "write", "remove", "insert", "cut")):
            case "flip":
                for _ in range(rng.choice((1, 8, 64))):
                    damaged[rng.randrange(place, max(place + 1, size))] ^= 1 << rng.randrange(8)
            case "write":
                damaged[place : place + rng.choice((4, 8, 500))] = rng.choice((b"\0", b"\xff", b"\x7f")) * 8
            case "remove":
                del damaged[place : place + rng.choice((1, 100, 5000))]
            case "insert":
                damaged[place:place] = rng.randbytes(rng.choice((1, 100, 5000)))
            case "cut":
                del damaged[max(place, 1) :]
        if not damaged:
            damaged = bytearray(b"\0")
    return bytes(damaged)


def outcome(path: Path, damage: str) -> str:
    """What reading a file in every way comes to: `read` or `refused`, for each.

    Raises:
        Exception: whatever else a reader raises, which is a fault.
    """
    found = []
    for way in ("audio", "video", "audio header", "video header"):
        try:
            match way:
                case "audio":
                    with open_audio(path, damage) as reader:
                        assert all(np.isfinite(block).all() for block in reader.blocks())
                case "video":
                    for piece in Frames(height=16, width=16, damage=damage).stream(path):
                        assert piece.shape == (1, 16, 16, 3)
                case "audio header":
                    assert read_audio_header(path).seconds >= 0
                case "video header":
                    assert read_video_header(path).seconds >= 0
            found.append("read")
        except ClipError as error:
            found.append("refused" if str(path) in str(error) else f"refused without its name: {error}")
    return ", ".join(found)


def fuzz(folder: Path, number: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Outcomes of so many damaged files, and the faults among them."""
    originals = [write(folder / f"{film.suffix}.{film.suffix}", film) for film in FILMS]
    outcomes: Counter[str] = Counter()
    faults = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    previous = signal.signal(signal.SIGALRM, _too_long)
    for count in range(number):
        rng = random.Random(f"{seed} {count}")
        original = originals[count % len(originals)]
        path = folder / f"damaged{original.suffix}"
        path.write_bytes(mutated(original.read_bytes(), rng))
        signal.alarm(SECONDS)
        try:
            outcomes[outcome(path, rng.choice(("stop", "skip", "end")))] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            faults.append(f"{path.rename(folder / f'fault{count}{path.suffix}')}: {type(error).__name__}: {error}")
        finally:
            signal.alarm(0)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        if grown > GROWTH_KB:
            faults.append(f"number {count} of seed {seed} ({original.name}) takes {grown / 1e6:.1f} GB")
            before += grown
    signal.signal(signal.SIGALRM, previous)
    return outcomes, faults


class TooLongError(BaseException):
    """A file that is read for longer than it may be; no reader takes it for an error of its own."""


def _too_long(_: int, __: FrameType | None) -> None:
    raise TooLongError(f"longer than {SECONDS} s")


def main(number: int = 2000, seed: int = 0) -> None:
    """Print outcomes and faults; exit with 1 if there are faults."""
    faulthandler.enable()
    av.logging.set_level(av.logging.PANIC)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-media-"))
    print(f"{number} files of seed {seed} in {folder}", flush=True)
    outcomes, faults = fuzz(folder, number, seed)
    print("audio, video, audio header, video header:")
    print(*(f"{count:6}  {name}" for name, count in outcomes.most_common()), *faults, sep="\n")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
