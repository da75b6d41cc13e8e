"""The data set of a checkpoint -> clips of its test fold to try it on, each as one file that browsers play."""

import io
import logging
from pathlib import Path

import av
from PIL import Image

from sedcrnn.config.targets import build
from sedcrnn.datasets.clips import Clip
from sedcrnn.datasets.folds import leave_city_out
from sedcrnn.errors import SedcrnnError
from sedcrnn.features.media_file import decoding
from sedcrnn.features.video_track import decode_video_track
from sedcrnn.inference.scene_models import ONNX_SUFFIX
from sedcrnn.runs.checkpoints import read_checkpoint
from sedcrnn.runs.files import atomic

log = logging.getLogger(__name__)

EXAMPLES = 6
THUMBNAIL = (320, 180)  # the most, in pixels


def find_examples(model: Path) -> list[Clip]:
    """A clip of each of some scenes, out of `unseen_clips`."""
    clips = {clip.label: clip for clip in reversed(unseen_clips(model))}
    return [clips[scene] for scene in sorted(clips)[:EXAMPLES]]


def unseen_clips(model: Path) -> list[Clip]:
    """The clips of the test fold, by scene and location, of locations that the network has not learnt from; none where
    the data set does not lie where it lay in training, and none for an ONNX file, which does not name it.
    """
    if model.suffix.lower() == ONNX_SUFFIX:
        return []
    checkpoint = read_checkpoint(model)
    try:
        manifest = build(checkpoint.data["source"], "data_source", trusted=False).manifest()
        if (city := checkpoint.data["leave_out_city"]) is not None:
            manifest = leave_city_out(manifest, city)
    except (SedcrnnError, OSError) as error:
        log.info("There are no example clips to try: %s", error)
        return []
    there = [clip for clip in manifest.fold("test") if clip.audio.is_file() and clip.video.is_file()]
    unseen = [clip for clip in there if clip.location not in checkpoint.locations]
    return sorted(unseen, key=lambda clip: (clip.label, clip.location, clip.id))


def as_one_file(clip: Clip, path: Path) -> Path:
    """The clip's file; `path`, where its audio and video are two: the video as it is, and the audio in FLAC, which
    loses nothing of up to 24 bits.

    Raises:
        ClipError: one of them is missing or damaged.
    """
    if clip.audio == clip.video:
        return clip.video
    with (
        decoding(clip.video),
        decoding(clip.audio),
        atomic(path) as temporary,
        av.open(clip.video) as video,
        av.open(clip.audio) as audio,
        av.open(temporary, "w", "mp4") as joined,
    ):
        frames, samples = video.streams.video[0], audio.streams.audio[0]
        seen = joined.add_stream_from_template(frames)
        heard = joined.add_stream("flac", rate=samples.rate)
        heard.layout, heard.format = samples.layout, "s16" if samples.format.bytes <= 2 else "s32"
        resampler = av.AudioResampler(heard.format, heard.layout, heard.rate)
        for packet in video.demux(frames):
            if packet.dts is not None:
                packet.stream = seen
                joined.mux(packet)
        for block in (*audio.decode(samples), None):
            for resampled in resampler.resample(block):
                joined.mux(heard.encode(resampled))
        joined.mux(heard.encode(None))
    return path


def thumbnail(clip: Clip) -> bytes:
    """The first frame of a clip as a small JPEG.

    Raises:
        ClipError: it has no video, or none that can be read.
    """
    _, _, frame = next(decode_video_track(clip.video))
    image = Image.fromarray(frame.to_ndarray(format="rgb24"))
    image.thumbnail(THUMBNAIL)
    written = io.BytesIO()
    image.save(written, "jpeg", quality=80)
    return written.getvalue()
