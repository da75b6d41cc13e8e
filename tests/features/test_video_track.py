"""Which frame is on display when, by value: every frame of the test videos shows its own number."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from sedcrnn.errors import ClipError
from sedcrnn.features.frames import Frames
from sedcrnn.features.video_track import aspect_ratio

SAME = {"height": 64, "width": 64}  # the size of the test videos: no resizing
NTSC = Fraction(30000, 1001)
CODECS = {"libx264": "h264", "libx265": "hevc", "libvpx-vp9": "vp9", "mpeg4": "mpeg4"}
FORMATS = [  # encoder, container, B-frames
    ("libx264", "mp4", 0),
    ("libx264", "mov", 3),
    ("libx264", "mkv", 3),
    ("libx264", "ts", 3),
    ("libx264", "avi", 0),
    ("libx265", "mp4", 3),
    ("libx265", "mkv", 3),
    ("libvpx-vp9", "webm", 0),
    ("libvpx-vp9", "mp4", 0),
    ("mpeg4", "mp4", 2),
    ("mpeg4", "avi", 2),
]


def read_frames(path, **size):
    return Frames(**size).extract(path)


def authors(fps, frames):
    return [int(float(fps) * i / 5 + 1e-5) for i in range(frames)]


def patch_matrix(path, *abcd):
    """Write a, b, c, d of the track's display matrix, in 1/65536."""
    content = bytearray(path.read_bytes())
    a, b, c, d = (value.to_bytes(4, "big", signed=True) for value in abcd)
    place = content.index(b"tkhd") + 44
    content[place : place + 24] = a + b + bytes(4) + c + d + bytes(4)
    path.write_bytes(content)


def film(path, video_seconds, audio_seconds, muxer=None):
    """Video and audio of so many seconds, interleaved."""
    video_codec, audio_codec = {"webm": ("libvpx-vp9", "libopus"), "avi": ("mpeg4", "libmp3lame")}.get(
        path.suffix[1:], ("libx264", "aac")
    )
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options=muxer or {}) as container:
        video = container.add_stream(video_codec, rate=25)
        video.height, video.width, video.pix_fmt = 64, 64, "yuv420p"
        video.codec_context.max_b_frames = 0
        audio = container.add_stream(audio_codec, rate=48000, layout="mono")
        frames, samples = 0, 0
        while frames < 25 * video_seconds or samples < 48000 * audio_seconds:
            if samples >= 48000 * audio_seconds or (frames < 25 * video_seconds and frames * 1920 <= samples):
                pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
                frame, stream, count = av.VideoFrame.from_ndarray(pixels, format="rgb24"), video, frames
                frame.time_base, frames = Fraction(1, 25), frames + 1
            else:
                wave = rng.uniform(-0.1, 0.1, (1, 1024)).astype(np.float32)
                frame, stream, count = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono"), audio, samples
                frame.sample_rate, samples = 48000, samples + 1024
            frame.pts = count
            container.mux(stream.encode(frame))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("codec", "suffix", "b_frames"), FORMATS)
def test_every_format_shows_the_authors_frames(tmp_path, write_video, read_numbers, codec, suffix, b_frames):
    path = write_video(tmp_path / f"a.{suffix}", NTSC, count=60, codec=codec, b_frames=b_frames)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == CODECS[codec]
        assert (PictureType.B in {frame.pict_type for frame in container.decode(stream)}) == (b_frames > 0)
    assert read_numbers(read_frames(path, **SAME)) == authors(NTSC, 10)


@pytest.mark.parametrize("rate", [NTSC, 2 * NTSC, Fraction(24000, 1001)])
def test_the_rounded_times_of_matroska_do_not_show_a_frame_too_early(tmp_path, write_video, read_numbers, rate):
    path = write_video(tmp_path / "late.mkv", rate, count=round(4 * rate), first=28)
    assert read_numbers(read_frames(path, **SAME)) == authors(rate, 20)


# The second group of twelve is then the first that can be decoded. (AVI, which has no times, would begin with it.)
@pytest.mark.parametrize(("codec", "suffix", "b_frames"), [each for each in FORMATS if each[1] != "avi"])
def test_without_the_first_key_frame_the_next_one_is_shown_from_the_start(
    tmp_path, write_video, read_numbers, codec, suffix, b_frames
):
    path = write_video(tmp_path / f"cut.{suffix}", 25, 72, codec=codec, b_frames=b_frames, skipped=5)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        first = round(25 * stream.start_time * stream.time_base)
        assert not next(container.demux(stream)).is_keyframe
    # With B-frames, the sixth packet may be a reference for up to three frames before it.
    assert 5 <= first + 1 <= 6 + b_frames
    assert b_frames or first == 5
    numbers = read_numbers(read_frames(path, **SAME))
    assert numbers == [max(12, first + 5 * i) for i in range(len(numbers))]
    assert len(numbers) == round((72 - first) / 5)


def test_without_any_key_frame_there_is_nothing_to_show(tmp_path, write_video):
    path = write_video(tmp_path / "headless.mp4", 25, 50, group=100, coder={"sc_threshold": "0"}, skipped=5)
    with pytest.raises(ClipError, match=r"headless\.mp4' holds no frame that can be decoded"):
        read_frames(path, **SAME)


def test_frames_that_refer_to_a_missing_group_are_left_out(tmp_path, write_video, read_numbers):
    # In an open group, frames in front of the key frame refer to the group before; here, that one is missing.
    open_group = {"x264-params": "open-gop=1:keyint=12:min-keyint=12:scenecut=0:bframes=3:b-adapt=0"}
    whole = write_video(tmp_path / "whole.ts", 25, 72, coder=open_group, b_frames=3)
    with av.open(str(whole)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    second = [number for number, packet in enumerate(packets) if packet.is_keyframe][1]
    leading = sum(packet.pts < packets[second].pts for packet in packets[second:])
    assert leading == 3
    path = write_video(tmp_path / "open.ts", 25, 72, coder=open_group, b_frames=3, skipped=second)
    assert read_numbers(read_frames(path, **SAME)) == [12 + 5 * i for i in range(12)]


def test_an_edit_list_that_cuts_into_a_group_is_followed(tmp_path, write_video, read_numbers):
    path = write_video(tmp_path / "trimmed.mp4", 25, count=60, first=-10, b_frames=2)
    assert read_numbers(read_frames(path, **SAME)) == [10 + 5 * i for i in range(10)]


@pytest.mark.parametrize(("frames", "samples", "last"), [(1000, 50, 980), (1001, 50, 980), (1012, 51, 1000)])
def test_the_last_sample_is_a_frame_on_display(tmp_path, write_video, read_numbers, frames, samples, last):
    # 100 frames per second: 10 s, 10.01 s and 10.12 s
    numbers = read_numbers(read_frames(write_video(tmp_path / "a.mp4", 100, count=frames), **SAME))
    assert (len(numbers), numbers[-1]) == (samples, last)


def test_the_last_frame_of_irregular_ones_is_shown_for_its_duration(tmp_path, write_video, read_numbers):
    times = [0, 150, 600, 750, 1380]  # in 1/600 s
    path = write_video(tmp_path / "a.mp4", times=times, count=len(times))
    with av.open(str(path)) as container:
        last = [packet for packet in container.demux(video=0) if packet.size][-1]
        end = (last.pts + last.duration) * last.time_base
    assert end > Fraction(1380, 600)
    numbers = read_numbers(read_frames(path, **SAME))
    assert numbers == [sum(time <= 120 * i for time in times) - 1 for i in range(round(5 * end))]


@pytest.mark.parametrize(("codec", "pixels"), [("libx264", "yuv444p"), ("libvpx-vp9", "yuv420p"), ("mpeg4", "yuv420p")])
def test_odd_sizes(tmp_path, write_video, codec, pixels):
    picture = np.zeros((47, 63, 3), np.uint8)
    picture[:, :32] = (200, 100, 50)
    picture[30:, 32:] = 255
    path = write_video(tmp_path / "odd.mkv", pictures=[picture] * 25, codec=codec, pixels=pixels)
    assert aspect_ratio(path) == 63 / 47
    found = read_frames(path, height=47, width=63)[0].astype(int)
    away = np.abs(found - picture).max(-1)
    away[:, 29:35] = away[27:33, 32:] = 0  # edges ring
    assert away.max() <= 12


@pytest.mark.parametrize(
    ("matrix", "turned"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1), ((1, 0, 0, 1), 0)]
)
def test_rotation_by_right_angles(tmp_path, write_video, matrix, turned):
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48] = 255
    path = write_video(tmp_path / "a.mp4", pictures=[picture] * 25)
    patch_matrix(path, *(65536 * value for value in matrix))
    expected = np.rot90(picture, turned)
    found = read_frames(path, height=expected.shape[0], width=expected.shape[1])[0]
    assert np.mean((found > 128) == (expected > 128)) > 0.99
    assert aspect_ratio(path) == expected.shape[1] / expected.shape[0]


def test_rotation_by_other_angles_is_refused(tmp_path, write_video):
    path = write_video(tmp_path / "oblique.mp4")
    patch_matrix(path, 46341, 46341, -46341, 46341)
    with pytest.raises(ClipError, match=r"oblique\.mp4' is to be turned by -?45 degrees, which is no right angle"):
        read_frames(path, **SAME)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi"])
@pytest.mark.parametrize("between", [False, True])
def test_truncated_files_are_told_even_where_a_packet_ends(tmp_path, suffix, between):
    muxer = {"movflags": "faststart"} if suffix in ("mp4", "mov") else {}
    whole = film(tmp_path / f"whole.{suffix}", 3, 3, muxer)
    assert len(read_frames(whole, **SAME)) == 15
    content = whole.read_bytes()
    end = len(content) // 2
    if between:
        with av.open(str(whole)) as container:
            end = next(packet.pos for packet in container.demux() if (packet.pos or 0) > end)
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(content[:end])
    with pytest.raises(ClipError, match=rf"cut\.{suffix}' (is truncated|cannot be read|holds a damaged frame)"):
        read_frames(path, **SAME)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "avi", "ts"])
@pytest.mark.parametrize(("video", "audio"), [(2, 3.2), (3.2, 2)])
def test_a_video_that_ends_before_or_after_the_audio_is_whole(tmp_path, suffix, video, audio):
    path = film(tmp_path / f"a.{suffix}", video, audio)
    assert len(read_frames(path, **SAME)) == round(5 * video)


def test_a_file_without_frames_is_told(tmp_path):
    path = tmp_path / "none.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    with pytest.raises(ClipError, match=r"none\.mkv' cannot be read: .*End of file"):
        read_frames(path, **SAME)
    with pytest.raises(ClipError):
        aspect_ratio(path)
