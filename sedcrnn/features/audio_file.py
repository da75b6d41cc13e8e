"""Audio file, or the audio track of a video -> blocks of stereo waveform, checked -> another sample rate.

libsndfile reads what it reads exactly and to the end (wav, flac, ogg, mp3 ...), FFmpeg everything else. Everything is a
stream of blocks, so that an hour of audio needs no more memory than a minute.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr

from sedcrnn.errors import ClipError, MissingTrackError
from sedcrnn.features.audio_track import BLOCK, Floats, track_blocks, track_rate
from sedcrnn.features.feature import unreadable
from sedcrnn.features.file_end import MISSING_END
from sedcrnn.features.media_clock import MediaClock
from sedcrnn.features.media_file import audio_stream, cause, check_end, decoding, open_media

LOUDEST = 8.0  # float files may pass full scale a little; 18 dB above it, they hold integers stored as floats
UNSURE = ("MP3", "MPEG", "OGG", "FLAC")  # formats whose length libsndfile guesses, or takes from the first header
FRAME = 1152  # samples of MP3, by which guesses differ
ENDLESS = 1 << 62  # samples that libsndfile names where a FLAC file does not know its length


class AudioReader:
    """An open file, to be read once: its path, its sample rate in Hz, and how many samples have been read."""

    def __init__(self, path: Path, sample_rate: int, blocks: Iterable[Floats]) -> None:
        self.path, self.sample_rate, self.samples = path, sample_rate, 0
        self._blocks = blocks

    def blocks(self) -> Iterator[Floats]:
        """Left and right, (2, sample) in [-1, 1]; float files may pass full scale a little. Mono is both.

        Raises:
            ClipError: a file that is damaged further on or holds no samples, or samples that are not finite or not
                scaled to [-1, 1].
        """
        for block in self._blocks:
            self.samples += block.shape[1]
            _check_samples(self.path, block)
            yield block if len(block) == 2 else np.repeat(block, 2, axis=0)
        if self.samples == 0:
            raise unreadable(self.path, "holds 0 samples of audio")


@contextmanager
def open_audio(path: Path, damage: str = "stop") -> Iterator[AudioReader]:
    """Open an audio file or the audio track of a video.

    More than two channels are mixed down to stereo by FFmpeg's rule: centre and surround channels go to their side
    (the centre to both) at -3 dB, the low-frequency channel is left out, and the sum may pass full scale
    (`audio_track.Mixer` for channels without places). Where the file has video too, the audio begins with the video:
    what comes before is cut, and a later start is filled with silence, as gaps are.

    `damage` says what becomes of pieces that cannot be decoded (`damage.Damage`); a file that is cut off is read only
    if it is `end`.

    Raises:
        ClipError: the file is absent, unreadable or truncated, or its audio cannot be decoded; MissingTrackError where
            it has no audio track and nothing is damaged.
    """
    check_end(path, damage)
    file, why = open_exact(path)
    if file is not None:
        with file:
            yield AudioReader(path, file.samplerate, _file_blocks(path, file, damage))
    else:
        with both_told(path, why):
            rate = track_rate(path)
        yield AudioReader(path, rate, track_blocks(path, rate, damage))


def open_exact(path: Path) -> tuple[soundfile.SoundFile | None, str]:
    """Open a mono or stereo file that libsndfile reads exactly and to its end; or None, and what it says of the file if
    that is an error. Such a file is FFmpeg's to read.

    Raises:
        ClipError: the file is absent.
    """
    with decoding(path):
        try:
            file = soundfile.SoundFile(bytes(path))  # names need not be UTF-8
        except soundfile.LibsndfileError as error:
            return None, "" if error.code == 1 else cause(error)  # SF_ERR_UNRECOGNISED_FORMAT
        trusted = file.format not in UNSURE or _agreed(path, file)
        if file.channels <= 2 and 0 < file.frames < ENDLESS and trusted:
            return file, ""
        file.close()
    return None, ""


def resampled(blocks: Iterable[Floats], from_hz: int, to_hz: int) -> Iterator[Floats]:
    """Change the sample rate of (2, sample) blocks with soxr's HQ recipe; equal rates change nothing. As many samples
    come out as went in times to_hz / from_hz, rounded."""
    if from_hz == to_hz:
        yield from blocks
        return
    stream = soxr.ResampleStream(from_hz, to_hz, num_channels=2, dtype="float64", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block.T)).T
    yield stream.resample_chunk(np.empty((0, 2)), last=True).T


def _file_blocks(path: Path, file: soundfile.SoundFile, damage: str) -> Iterator[Floats]:
    """What libsndfile reads; from where it fails on, what FFmpeg does."""
    given, why = 0, ""
    while given < file.frames:
        try:
            block = file.read(BLOCK, dtype="float64", always_2d=True).T
        except (soundfile.SoundFileError, ValueError) as error:
            why = cause(error)
            break
        if block.shape[1] == 0:
            break
        given += block.shape[1]
        yield block
    if given >= file.frames - FRAME:
        return
    skipped = given
    with both_told(path, why or f"it reads {given:,} samples of {file.frames:,}"):
        for block in track_blocks(path, file.samplerate, damage):
            kept = block[:, skipped:]
            skipped -= block.shape[1] - kept.shape[1]
            yield kept


def _agreed(path: Path, file: soundfile.SoundFile) -> bool:
    """Whether the packets of a file last as long as libsndfile takes it to last."""
    try:
        with open_media(path) as container, decoding(path):
            stream = audio_stream(path, container)
            ticks = sum(
                packet.duration or 0 for packet in MediaClock(path, container).packets() if packet.stream is stream
            )
            seconds = ticks * (stream.time_base or 0)
    except ClipError:
        return True  # FFmpeg does not know better
    return bool(abs(seconds - file.frames / file.samplerate) <= MISSING_END)


@contextmanager
def both_told(path: Path, why: str) -> Iterator[None]:
    """Adds what libsndfile says to FFmpeg's refusal of a file."""
    try:
        yield
    except MissingTrackError:
        raise
    except ClipError as error:
        if not why:
            raise
        found = error.found.removeprefix(f"'{path}' ").removeprefix("cannot be read: ")
        raise unreadable(path, f"cannot be read. libsndfile: {why}. FFmpeg: {found}") from error


def _check_samples(path: Path, block: Floats) -> None:
    finite = np.isfinite(block)
    if not finite.all():
        bad = finite.size - np.count_nonzero(finite)
        raise unreadable(path, f"holds {bad} samples that are not finite, among {finite.size}")
    peak = np.abs(block).max(initial=0.0)
    if peak > LOUDEST:
        raise ClipError(
            f"'{path}' has a peak of {peak:g}, so it seems to hold integers stored as floats",
            f"Float samples lie in [-1, 1], or pass it a little (up to {LOUDEST:g})",
            "Divide the samples by full scale (32768 for 16 bit) and write the file again",
        )
