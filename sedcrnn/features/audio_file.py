"""Sound file, or sound track of a video -> blocks of stereo waveform, checked -> another sample rate.

libsndfile reads what it knows (wav, flac, ogg, mp3 ...), FFmpeg everything else. Everything is a stream of blocks, so
that an hour of sound needs no more memory than a minute.
"""

import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from sedcrnn.errors import ClipError
from sedcrnn.features.audio_track import decode_sound_track

Floats = NDArray[np.float64]
Blocks = Generator[Floats, None, None]

BLOCK = 1 << 19
"""Samples per block: eleven seconds at 48 kHz, so that a clip is one block."""

LOUDEST = 8.0
"""Float files may pass full scale a little; a peak of 18 dB above it means integers that were stored as floats."""

STREAMED = 0x7FFFF000
"""Programs that write wav to a pipe declare about this many bytes or more, because they cannot know better."""

UNRECOGNISED = 1
"""libsndfile's error code for a format that it does not know (SF_ERR_UNRECOGNISED_FORMAT)."""


class Sound:
    """An open sound, to be read once.

    Attributes:
        path: the file.
        sample_rate: in Hz.
        samples: how many have been read.
    """

    def __init__(self, path: Path, sample_rate: int, blocks: Iterable[Floats]) -> None:
        self.path, self.sample_rate, self.samples = path, sample_rate, 0
        self._blocks = blocks

    def blocks(self) -> Iterator[Floats]:
        """Left and right, (2, sample) in [-1, 1]; float files may pass full scale a little. Mono is both.

        Raises:
            ClipError: what is damaged further on, a sound without samples, or samples that are not finite or not
                scaled to [-1, 1].
        """
        for block in self._blocks:
            self.samples += block.shape[1]
            _check_samples(self.path, block)
            yield block if len(block) == 2 else np.repeat(block, 2, axis=0)
        if self.samples == 0:
            raise ClipError(
                f"'{self.path}' holds 0 samples of sound",
                "A clip holds at least one second of sound",
                "Fetch the file again, or choose data.unreadable=skip",
            )


@contextmanager
def open_sound(path: Path) -> Iterator[Sound]:
    """Open a sound file or the sound track of a video.

    More than two channels are mixed down to stereo by FFmpeg's rule: centre and surround channels go to their side
    (the centre to both) at -3 dB, the low-frequency channel is left out, and the sum may pass full scale.

    Raises:
        ClipError: the file is absent, unreadable or truncated, or has no sound track.
    """
    file = open_sound_file(path)
    if file is not None and file.channels <= 2:
        with file:
            yield Sound(path, file.samplerate, _soundfile_blocks(path, file))
        return
    if file is not None:
        file.close()
    with decode_sound_track(path, BLOCK) as (sample_rate, blocks):
        yield Sound(path, sample_rate, blocks)


def open_sound_file(path: Path) -> soundfile.SoundFile | None:
    """Open a file with libsndfile; None where it does not know the format, which is then FFmpeg's to read.

    Raises:
        ClipError: the file is absent, unreadable or truncated.
    """
    if not path.is_file():
        raise ClipError(
            f"The sound file '{path}' is listed but absent",
            "Every listed clip has its sound file",
            "Complete the data set, or remove the clip from its lists",
        )
    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        if error.code == UNRECOGNISED:
            return None
        raise _unreadable(path, error) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    _check_length(path, file)
    return file


def resampled(blocks: Iterable[Floats], from_hz: int, to_hz: int) -> Iterator[Floats]:
    """Change the sample rate with soxr's HQ recipe; equal rates change nothing.

    Args:
        blocks: (2, sample), of any lengths.
        from_hz: their sample rate.
        to_hz: the wanted sample rate.

    Yields:
        (2, sample); all together as many as went in times to_hz / from_hz, rounded.
    """
    if from_hz == to_hz:
        yield from blocks
        return
    stream = soxr.ResampleStream(from_hz, to_hz, num_channels=2, dtype="float64", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block.T)).T
    yield stream.resample_chunk(np.empty((0, 2)), last=True).T


def _soundfile_blocks(path: Path, file: soundfile.SoundFile) -> Blocks:
    try:
        for block in file.blocks(BLOCK, dtype="float64", always_2d=True):
            yield block.T
    except (soundfile.SoundFileError, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ClipError:
    return ClipError(
        f"The sound file '{path}' cannot be read: {error}",
        "Sound is read by libsndfile (wav, flac and the like) or, from videos, by FFmpeg",
        "Fetch or convert the file again, or choose data.unreadable=skip",
    )


def _check_length(path: Path, file: soundfile.SoundFile) -> None:
    # libsndfile reads what is left of a truncated wav without an error; only its log tells.
    cut = re.search(r"^data : (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    if cut and int(cut[2]) < int(cut[1]) < STREAMED:
        raise ClipError(
            f"'{path}' is truncated: {cut[2]} bytes of sound are left",
            f"Its header declares {cut[1]} bytes",
            "Copy or unpack the file again, or choose data.unreadable=skip",
        )


def _check_samples(path: Path, block: Floats) -> None:
    finite = np.isfinite(block)
    if not finite.all():
        raise ClipError(
            f"'{path}' holds {finite.size - np.count_nonzero(finite)} samples that are not finite",
            f"All of its {finite.size} samples are finite numbers",
            "Export the file again, or choose data.unreadable=skip",
        )
    peak = np.abs(block).max(initial=0.0)
    if peak > LOUDEST:
        raise ClipError(
            f"'{path}' has a peak of {peak:g}, so it seems to hold integers stored as floats",
            f"Float samples lie in [-1, 1], or pass it a little (up to {LOUDEST:g})",
            "Divide the samples by full scale (32768 for 16 bit) and write the file again",
        )
