"""Sound file -> waveform (channel, sample), checked against what the data set declares -> another sample rate."""

import re
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from sedcrnn.errors import ClipError

LOUDEST = 8.0
"""Float files may pass full scale a little; a peak of 18 dB above it means integers that were stored as floats."""

STREAMED = 0x7FFFF000
"""Programs that write wav to a pipe declare about this many bytes or more, because they cannot know better."""


def read_waveform(path: Path, sample_rate: int, channels: int) -> NDArray[np.float64]:
    """Read a whole sound file, of any format that libsndfile knows.

    Args:
        path: the file.
        sample_rate: in Hz, as the data set declares it.
        channels: number of channels, as the data set declares it.

    Returns:
        (channel, sample) in [-1, 1]; float files may pass full scale a little.

    Raises:
        ClipError: the file is absent, unreadable, truncated or empty, has another sample rate or another number of
            channels, or holds samples that are not finite or not scaled to [-1, 1].
    """
    if not path.is_file():
        raise ClipError(
            f"The sound file '{path}' is listed but absent",
            "Every listed clip has its sound file",
            "Complete the data set, or remove the clip from its lists",
        )
    try:
        with soundfile.SoundFile(path) as file:
            _check_layout(path, file, sample_rate, channels)
            waveform: NDArray[np.float64] = file.read(dtype="float64", always_2d=True).T
    except (soundfile.SoundFileError, OSError) as error:
        raise ClipError(
            f"The sound file '{path}' cannot be read: {error}",
            "Sound is read by libsndfile: wav, flac and the like",
            "Fetch or convert the file again, or choose data.unreadable=skip",
        ) from error
    _check_samples(path, waveform)
    return waveform


def resample(waveform: NDArray[np.float64], from_hz: int, to_hz: int) -> NDArray[np.float64]:
    """Change the sample rate with soxr's HQ recipe; equal rates change nothing.

    Args:
        waveform: (channel, sample).
        from_hz: its sample rate.
        to_hz: the wanted sample rate.

    Returns:
        (channel, sample * to_hz / from_hz, rounded to whole samples).
    """
    if from_hz == to_hz:
        return waveform
    resampled: NDArray[np.float64] = soxr.resample(np.ascontiguousarray(waveform.T), from_hz, to_hz, quality="HQ")
    return np.ascontiguousarray(resampled.T)


def _check_layout(path: Path, file: soundfile.SoundFile, sample_rate: int, channels: int) -> None:
    if file.samplerate != sample_rate:
        raise ClipError(
            f"'{path}' has a sample rate of {file.samplerate} Hz",
            f"The data set declares {sample_rate} Hz",
            f"Resample the file to {sample_rate} Hz, or correct features.spectrogram.sample_rate",
        )
    if file.channels != channels:
        raise ClipError(
            f"'{path}' has {file.channels} channel(s)",
            f"The data set declares {channels}",
            f"Convert the file to {channels} channel(s), or correct features.spectrogram.channels",
        )
    # libsndfile reads what is left of a truncated wav without an error; only its log tells.
    cut = re.search(r"^data : (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    if cut and int(cut[2]) < int(cut[1]) < STREAMED:
        raise ClipError(
            f"'{path}' is truncated: {cut[2]} bytes of sound are left",
            f"Its header declares {cut[1]} bytes",
            "Copy or unpack the file again, or choose data.unreadable=skip",
        )


def _check_samples(path: Path, waveform: NDArray[np.float64]) -> None:
    if waveform.size == 0:
        raise ClipError(
            f"'{path}' holds 0 samples",
            "A clip holds at least one second of sound",
            "Fetch the file again, or choose data.unreadable=skip",
        )
    finite = np.isfinite(waveform)
    if not finite.all():
        raise ClipError(
            f"'{path}' holds {finite.size - np.count_nonzero(finite)} samples that are not finite",
            f"All of its {finite.size} samples are finite numbers",
            "Export the file again, or choose data.unreadable=skip",
        )
    peak = np.abs(waveform).max()
    if peak > LOUDEST:
        raise ClipError(
            f"'{path}' has a peak of {peak:g}, so it seems to hold integers stored as floats",
            f"Float samples lie in [-1, 1], or pass it a little (up to {LOUDEST:g})",
            "Divide the samples by full scale (32768 for 16 bit) and write the file again",
        )
