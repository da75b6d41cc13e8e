"""Waveform -> the bytes of a wav file; frames -> the bytes of an mp4 file."""

from io import BytesIO

import av
import numpy as np
import soundfile

from sedcrnn.datasets.synthetic.video_rendering import Frames
from sedcrnn.datasets.synthetic.waves import RATE, Wave


def wav(wave: Wave) -> bytes:
    """A stereo waveform (2, samples) as PCM of 24 bits at 48 kHz."""
    buffer = BytesIO()
    soundfile.write(buffer, wave.T, RATE, subtype="PCM_24", format="WAV")
    return buffer.getvalue()


def mp4(frames: Frames, rate: int) -> bytes:
    """Frames (frame, height, width, 3) as H.264 in yuv420p, without sound."""
    buffer = BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "24"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # the bits must not depend on how many cores there are
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
