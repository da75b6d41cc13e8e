"""Video (or any file that FFmpeg reads) -> its sound track, placed where the picture's time begins -> blocks."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from sedcrnn.errors import ClipError, MissingTrackError
from sedcrnn.features.containers import DECODER_ERRORS, MISSING_END, picture_start

Floats = NDArray[np.float64]
Blocks = Generator[Floats, None, None]


@contextmanager
def decode_sound_track(path: Path, block: int) -> Iterator[tuple[int, Blocks]]:
    """Open the sound track of a file.

    Where the file has a picture too, the sound begins with the picture: what comes before is cut, and a later start
    is filled with silence.

    Args:
        path: the file.
        block: samples per block; the last one has fewer.

    Returns:
        Sample rate in Hz, and blocks (channel, sample) float64 of one or two channels; more are mixed down to stereo.

    Raises:
        ClipError: the file cannot be opened, has no (decodable) sound, or is damaged or truncated anywhere; of the
            kind MissingTrackError where it just has no sound.
    """
    try:
        # Metadata need not be UTF-8, and is of no interest.
        container = av.open(path, metadata_errors="ignore")
    except DECODER_ERRORS as error:
        raise _unreadable(path, f"cannot be read: {error}") from error
    with container:
        stream = container.streams.best("audio")
        if not isinstance(stream, av.AudioStream):
            raise _unreadable(path, "has no sound", MissingTrackError)
        if stream.codec_context is None:
            raise _unreadable(path, "has sound in a format that FFmpeg cannot decode")
        yield stream.sample_rate, _blocks(path, container, stream, block)


def _blocks(path: Path, container: InputContainer, stream: av.AudioStream, size: int) -> Blocks:
    """The decoded track in blocks, shifted to the picture's time."""
    rate = stream.sample_rate
    picture = picture_start(container)
    parts: list[Floats] = []
    waiting, samples, to_cut = 0, 0, 0
    for start, part in _decoded(path, container, stream):
        if samples == 0 and picture is not None and start is not None:
            lead = round((start - picture) * rate)
            to_cut = max(0, -lead)
            if lead > 0:
                parts.append(np.zeros((len(part), lead)))
                waiting += lead
        samples += part.shape[1]
        kept = part[:, to_cut:]
        to_cut -= part.shape[1] - kept.shape[1]
        parts.append(kept)
        waiting += kept.shape[1]
        if waiting >= size:
            yield np.concatenate(parts, axis=1)
            parts, waiting = [], 0
    if waiting:
        yield np.concatenate(parts, axis=1)
    declared = (stream.duration or 0) * (stream.time_base or 0) if "mp4" in container.format.name else 0
    if samples and Fraction(samples, rate) < declared - MISSING_END:
        raise _unreadable(path, f"is truncated: {samples / rate:.2f} s of sound are left of {float(declared):.2f} s")


def _decoded(path: Path, container: InputContainer, stream: av.AudioStream) -> Iterator[tuple[Fraction | None, Floats]]:
    """Start in seconds and samples (channel, sample) of every frame of the track, in stereo or mono."""
    layout = "mono" if stream.layout.nb_channels == 1 else "stereo"
    mixer = av.AudioResampler(format="dblp", layout=layout)
    try:
        for frame in container.decode(stream):
            if frame.is_corrupt:  # FFmpeg patches damaged sound up and only marks it
                raise _unreadable(path, "holds a damaged piece of sound")
            start = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
            for mixed in mixer.resample(frame):
                yield start, np.asarray(mixed.to_ndarray(), dtype=np.float64)
        for mixed in mixer.resample(None):
            yield None, np.asarray(mixed.to_ndarray(), dtype=np.float64)
    except DECODER_ERRORS as error:
        raise _unreadable(path, f"cannot be read: {error}") from error


def _unreadable(path: Path, what: str, kind: type[ClipError] = ClipError) -> ClipError:
    return kind(
        f"The sound file '{path}' {what}",
        "A clip has whole sound that libsndfile or FFmpeg can decode",
        "Fetch or convert the file again; where it is one of a data set, data.unreadable=skip leaves it out",
    )
