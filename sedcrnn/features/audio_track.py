"""Open media file -> its audio track, decoded by FFmpeg -> every sample at its time -> stereo."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from sedcrnn.features.damage import Damage
from sedcrnn.features.feature import unreadable
from sedcrnn.features.file_end import MISSING_END
from sedcrnn.features.media_file import MediaClock, audio_stream, cause, decoding, open_media, tell, video_start

Floats = NDArray[np.float64]

BLOCK = 1 << 19  # samples per block: eleven seconds at 48 kHz, so that a clip is one block
SHIFTED = Fraction(1, 5)  # seconds by which samples may lie off their time, as clocks of phones do: one step
COUNTED = ("flac", "wv", "tta", "ape")  # formats whose header has the number of samples, and no bytes


def track_rate(path: Path) -> int:
    """The sample rate in Hz of the audio track as it decodes, which is not always what the header says.

    Raises:
        ClipError: as `open_media` and `audio_stream`, or nothing can be decoded.
    """
    with open_media(path) as container:
        stream = audio_stream(path, container)
        with decoding(path):
            for packet in container.demux(stream):
                try:
                    for frame in stream.decode(packet):
                        return frame.sample_rate
                except (av.FFmpegError, ValueError):
                    continue  # a cut broadcast begins with pieces of packets
    raise unreadable(path, "holds 0 samples of audio")


def track_blocks(path: Path, rate: int, damage: str) -> Iterator[Floats]:
    """The audio track in blocks (2, sample) at a rate in Hz, each sample at its time.

    Time begins with the video, where there is one: audio before is cut, and a later beginning is silence. So is every
    gap of a fifth of a second or more; what lies twice over the same time is cut.

    Raises:
        ClipError: as `open_media`, `audio_stream` and `MediaClock.packets`; a damaged piece, if `damage` is `stop`.
    """
    with open_media(path) as container, decoding(path):
        stream = audio_stream(path, container)
        if stream.codec_context.name == "flac":  # of all decoders, this one does not notice damage by itself
            stream.codec_context.options = {"err_detect": "crccheck"}
        watch = Damage(path, "audio", damage, container)
        samples, peak = 0, 0.0
        parts: list[Floats] = []
        for part in _placed(container, rate, _decoded(MediaClock(path, container), stream, rate, watch)):
            parts.append(part)
            samples += part.shape[1]
            peak = max(peak, np.abs(part).max(initial=0.0))
            if sum(each.shape[1] for each in parts) >= BLOCK:
                yield np.concatenate(parts, axis=1)
                parts = []
        if parts:
            yield np.concatenate(parts, axis=1)
        watch.tell()
        if peak == 0 and samples and len(container.streams.audio) > 1:
            tell(f"'{path}' has {len(container.streams.audio)} audio tracks, and the one that is read is silent.")
        declared = (stream.duration or 0) * (stream.time_base or 0) if container.format.name in COUNTED else 0
        if samples and Fraction(samples, rate) < declared - MISSING_END and damage != "end":
            raise unreadable(path, f"is truncated: {samples / rate:.2f} s of audio are left of {float(declared):.2f} s")


def _placed(
    container: InputContainer, rate: int, decoded: Iterator[tuple[Fraction | None, Floats]]
) -> Iterator[Floats]:
    """The samples without holes and overlaps, from the beginning of the video on."""
    begin = video_start(container)
    counted = container.format.name == "avi"  # AVI has no times: FFmpeg makes them up from sizes
    given, due = 0, None
    for time, part in decoded:
        begin = time if begin is None else begin
        place = None if time is None or begin is None else round((time - begin) * rate)
        if due is None:
            due = place or 0
        elif place is not None and abs(place - due) >= SHIFTED * rate and not counted:
            due = place
        while given < due:
            silence = np.zeros((2, min(due - given, BLOCK)))
            given += silence.shape[1]
            yield silence
        kept = part[:, max(0, given - due) :]
        due += part.shape[1]
        given += kept.shape[1]
        yield kept


def _decoded(
    clock: MediaClock, stream: av.AudioStream, rate: int, watch: Damage
) -> Iterator[tuple[Fraction | None, Floats]]:
    """Start in seconds and samples (2, sample) of every piece of the track that can be decoded."""
    mixer = Mixer(rate)
    for packet in clock.packets():
        if packet.stream is not stream:
            continue
        try:
            frames = stream.decode(packet)
        except (av.FFmpegError, ValueError) as error:
            watch.met(f"cannot be read: {cause(error)}")
            frames = []
        for frame in frames:
            if frame.is_corrupt:  # FFmpeg patches damaged audio up and only marks it
                watch.met("holds a damaged piece of audio")
                continue
            watch.passed()
            start = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
            for mixed in mixer.mix(frame):
                yield start, mixed
        if watch.ended:
            break
    for mixed in mixer.rest():
        yield None, mixed


class Mixer:
    """Frames of any layout, depth and rate, which may change on the way -> stereo at one rate.

    Up to eight channels, and larger layouts whose places FFmpeg knows, are mixed down by its rule (`open_audio`). Of
    ambisonics the first channel, the sound from everywhere, is both sides; of channels without places, their mean is.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._form: tuple[str, str, int] | None = None
        self._resampler: av.AudioResampler | None = None

    def mix(self, frame: av.AudioFrame) -> Iterator[Floats]:
        """What is ready of a frame, (2, sample) each."""
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        channels = frame.layout.nb_channels
        if form != self._form:
            yield from self.rest()
            self._form = form
            layout = "mono" if channels == 1 else "stereo"
            self._resampler = av.AudioResampler(format="dblp", layout=layout, rate=self.rate)
        if self._resampler is not None:
            try:
                mixed = self._resampler.resample(frame)
            except av.FFmpegError:
                if channels <= 2 or frame.sample_rate != self.rate:
                    raise
                self._resampler = None  # it knows no places for these channels
            else:
                yield from map(_stereo, mixed)
                return
        samples = _channels(frame)
        side = samples[0] if frame.layout.name.startswith("ambisonic") else samples.mean(0)
        yield np.stack([side, side])

    def rest(self) -> Iterator[Floats]:
        """What the change of rate has held back, (2, sample) each."""
        if self._resampler is not None and self._form is not None:
            yield from map(_stereo, self._resampler.resample(None))


def _stereo(frame: av.AudioFrame) -> Floats:
    samples = np.asarray(frame.to_ndarray(), dtype=np.float64)
    return samples if len(samples) == 2 else np.repeat(samples, 2, axis=0)


def _channels(frame: av.AudioFrame) -> Floats:
    """A frame's samples (channel, sample) in [-1, 1]."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        return (samples - 128.0) / 128
    scale = 1.0 if samples.dtype.kind == "f" else 2.0 ** (8 * samples.dtype.itemsize - 1)
    return np.asarray(samples / scale, dtype=np.float64)
