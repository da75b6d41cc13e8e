"""Audio file, or the audio track of a video -> blocks of stereo waveform, checked -> another sample rate.

libsndfile reads what it knows (wav, flac, ogg, mp3 ...), FFmpeg everything else. Everything is a stream of blocks, so
that an hour of audio needs no more memory than a minute.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from av.container import InputContainer
from numpy.typing import NDArray

from sedcrnn.errors import ClipError, MissingTrackError
from sedcrnn.features.feature import unreadable
from sedcrnn.features.video_track import MISSING_END, decoding, video_start

Floats = NDArray[np.float64]

BLOCK = 1 << 19  # samples per block: eleven seconds at 48 kHz, so that a clip is one block
LOUDEST = 8.0  # float files may pass full scale a little; 18 dB above it, they hold integers stored as floats


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
def open_audio(path: Path) -> Iterator[AudioReader]:
    """Open an audio file or the audio track of a video.

    More than two channels are mixed down to stereo by FFmpeg's rule: centre and surround channels go to their side
    (the centre to both) at -3 dB, the low-frequency channel is left out, and the sum may pass full scale. Where the
    file has video too, the audio begins with the video: what comes before is cut, and a later start is filled with
    silence.

    Raises:
        ClipError: the file is absent, unreadable or truncated, or its audio cannot be decoded; MissingTrackError where
            it has no audio track and nothing is damaged.
    """
    file = open_audio_file(path)
    if file is not None:
        with file:
            if file.channels <= 2:
                yield AudioReader(path, file.samplerate, _file_blocks(path, file))
                return
    with decoding(path):
        container = av.open(path, metadata_errors="ignore")
    with container:
        stream = container.streams.best("audio")
        if not isinstance(stream, av.AudioStream):
            raise unreadable(path, "has no audio", MissingTrackError)
        if stream.codec_context is None:
            raise unreadable(path, "has audio in a format that FFmpeg cannot decode")
        yield AudioReader(path, stream.sample_rate, _track_blocks(path, container, stream))


def open_audio_file(path: Path) -> soundfile.SoundFile | None:
    """Open a file with libsndfile; None where it does not know the format, which is then FFmpeg's to read.

    Raises:
        ClipError: the file is absent, unreadable or truncated.
    """
    with decoding(path):
        try:
            file = soundfile.SoundFile(path)
        except soundfile.LibsndfileError as error:
            if error.code == 1:  # SF_ERR_UNRECOGNISED_FORMAT
                return None
            raise
    # libsndfile reads what is left of a truncated wav without an error; only its log shows it. Programs that write wav
    # to a pipe declare 0x7FFFF000 bytes or more, because they cannot know better.
    cut = re.search(r"^data : (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    if cut and int(cut[2]) < int(cut[1]) < 0x7FFFF000:
        raise unreadable(path, f"is truncated: {cut[2]} bytes of audio are left, and its header declares {cut[1]}")
    return file


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


def _file_blocks(path: Path, file: soundfile.SoundFile) -> Iterator[Floats]:
    with decoding(path):
        for block in file.blocks(BLOCK, dtype="float64", always_2d=True):
            yield block.T


def _track_blocks(path: Path, container: InputContainer, stream: av.AudioStream) -> Iterator[Floats]:
    """The decoded track in blocks, shifted to the video's time."""
    rate = stream.sample_rate
    video = video_start(container)
    parts: list[Floats] = []
    waiting, samples, to_cut = 0, 0, 0
    for start, part in _decoded(path, container, stream):
        if samples == 0 and video is not None and start is not None:
            lead = round((start - video) * rate)
            to_cut = max(0, -lead)
            waiting = max(0, lead)
            parts = [np.zeros((len(part), waiting))]
        samples += part.shape[1]
        kept = part[:, to_cut:]
        to_cut -= part.shape[1] - kept.shape[1]
        parts.append(kept)
        waiting += kept.shape[1]
        if waiting >= BLOCK:
            yield np.concatenate(parts, axis=1)
            parts, waiting = [], 0
    if waiting:
        yield np.concatenate(parts, axis=1)
    declared = (stream.duration or 0) * (stream.time_base or 0) if "mp4" in container.format.name else 0
    if samples and Fraction(samples, rate) < declared - MISSING_END:
        raise unreadable(path, f"is truncated: {samples / rate:.2f} s of audio are left of {float(declared):.2f} s")


def _decoded(path: Path, container: InputContainer, stream: av.AudioStream) -> Iterator[tuple[Fraction | None, Floats]]:
    """Start in seconds and samples (channel, sample) of every frame of the track, in stereo or mono."""
    mixer = av.AudioResampler(format="dblp", layout="mono" if stream.layout.nb_channels == 1 else "stereo")
    with decoding(path):
        for frame in container.decode(stream):
            if frame.is_corrupt:  # FFmpeg patches damaged audio up and only marks it
                raise unreadable(path, "holds a damaged piece of audio")
            start = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
            for mixed in mixer.resample(frame):
                yield start, np.asarray(mixed.to_ndarray(), dtype=np.float64)
        for mixed in mixer.resample(None):
            yield None, np.asarray(mixed.to_ndarray(), dtype=np.float64)


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
