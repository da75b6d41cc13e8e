from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest
import torch
from av.stream import Disposition
from PIL import Image
from torchvision.transforms.v2 import functional as transforms

from sedcrnn.config.checking import checked
from sedcrnn.config.composition import compose
from sedcrnn.errors import ClipError, ConfigError, MissingTrackError
from sedcrnn.features.frames import Frames
from sedcrnn.features.video_track import aspect_ratio

SAME = {"height": 64, "width": 64}  # the size of the test videos: no resizing

AWKWARD_LENGTHS = {
    "six_channels.mp4": 10,
    "video_only.mp4": 5,
    "not_utf8.mp4": 10,
    "edit_list_positive_shift.mp4": 45,  # starts at 1.0 s
    "irregular.mp4": 9,  # variable rate, 1.8 s
    "no_duration.webm": 25,
    "short_audio.mp4": 6,
    "silent-black-10s.mp4": 50,
}
AWKWARD_REFUSALS = {
    "corrupted.mp4": "Invalid data",
    "cut_after_moov.m4a": "is truncated",
    "sample_ac4.mp4": "has no video",
    "sample_audio_only.mp4": "has no video",
    "malformed_free_box.mp4": "Invalid data",
    "mono_s32.wav": "has no video",
    "empty.wav": "has no video",
    "video_90.mov": "lasts 0.10 s",
}


def read_frames(path, **size):
    return Frames(**size).extract(path)


def patch(path, old, new, offset=0):
    content = bytearray(path.read_bytes())
    place = content.index(old) + offset
    content[place : place + len(new)] = new
    path.write_bytes(content)


@pytest.mark.parametrize("fps", [10, 15, 24, 25, Fraction(30000, 1001), 30, 50, 60])
def test_frames_are_those_of_the_authors(tmp_path, write_video, read_numbers, fps):
    path = write_video(tmp_path / "a.mp4", fps, count=round(10 * fps))
    expected = [int(float(fps) * i / 5 + 1e-5) for i in range(50)]
    assert read_numbers(read_frames(path, **SAME)) == expected


def test_the_authors_indices_at_ntsc_rate(tmp_path, write_video, read_numbers):
    path = write_video(tmp_path / "a.mp4", Fraction(30000, 1001), count=40)
    assert read_numbers(read_frames(path, **SAME))[:6] == [0, 5, 11, 17, 23, 29]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_time_counts_from_the_first_frame(tmp_path, write_video, read_numbers, suffix):
    path = write_video(tmp_path / f"late.{suffix}", 25, count=50, first=28)
    assert read_numbers(read_frames(path, **SAME)) == [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]


def test_frames_at_irregular_times_are_shown_until_the_next(tmp_path, write_video, read_numbers):
    #       seconds:  0   0.1  0.21  0.9  1.0  1.19
    times = [0, 60, 126, 540, 600, 714]
    path = write_video(tmp_path / "a.mp4", times=times, count=len(times))
    assert read_numbers(read_frames(path, **SAME))[:6] == [0, 1, 2, 2, 2, 4]


@pytest.mark.parametrize(("count", "samples"), [(25, 5), (27, 5), (28, 6), (253, 51)])
def test_number_of_samples_is_the_decoded_length_rounded(tmp_path, write_video, read_numbers, count, samples):
    path = write_video(tmp_path / "a.mp4", 25, count=count)
    expected = [min(5 * i, count - 1) for i in range(samples)]
    assert read_numbers(read_frames(path, **SAME)) == expected


def test_frames_come_while_the_file_is_being_read(tmp_path, write_video, read_numbers):
    path = write_video(tmp_path / "a.mp4", 25, count=50)
    stream = Frames(**SAME).stream(path)
    assert read_numbers(np.concatenate([next(stream) for _ in range(5)])) == [0, 5, 10, 15, 20]
    assert len(list(stream)) == 5


def test_other_rates(tmp_path, write_video, read_numbers):
    path = write_video(tmp_path / "a.mp4", 10, count=10)
    assert read_numbers(read_frames(path, rate=20, **SAME)) == [i // 2 for i in range(20)]


def test_rotation_is_applied(tmp_path, write_video):
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48] = (255, 0, 0)  # red at the upper left
    path = write_video(tmp_path / "a.mp4", pictures=[picture] * 25)
    one, minus_one = (65536).to_bytes(4, "big"), (-65536).to_bytes(4, "big", signed=True)
    zero = bytes(4)
    clockwise = zero + one + zero + minus_one + zero + zero  # a b u, c d v of the track's matrix
    patch(path, b"tkhd", clockwise, offset=44)
    frames = read_frames(path, height=96, width=64)
    assert aspect_ratio(path) == 64 / 96
    corners = frames[0, [8, 8, -8, -8], [8, -8, 8, -8], 0] > 128
    assert corners.tolist() == [False, True, False, False]  # red at the upper right


@pytest.mark.parametrize("antialias", [False, True])
def test_resizing_is_bilinear_without_aspect(tmp_path, write_video, antialias):
    picture = np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    path = write_video(tmp_path / "a.mp4", pictures=[picture] * 25)
    whole = read_frames(path, height=96, width=160)[0]
    small = read_frames(path, height=56, width=40, antialias=antialias)[0]
    expected = transforms.resize(torch.from_numpy(whole).permute(2, 0, 1).float(), [56, 40], antialias=antialias)
    assert np.abs(small - expected.permute(1, 2, 0).numpy()).max() <= 1.001
    other = transforms.resize(torch.from_numpy(whole).permute(2, 0, 1).float(), [56, 40], antialias=not antialias)
    assert np.abs(small - other.permute(1, 2, 0).numpy()).max() > 20


def test_colours_are_rgb(tmp_path, write_video):
    path = write_video(tmp_path / "a.mp4", pictures=[np.full((64, 64, 3), (200, 100, 50), np.uint8)] * 25)
    np.testing.assert_allclose(read_frames(path, **SAME)[0].mean((0, 1)), (200, 100, 50), atol=4)


def test_files_without_a_video_are_refused(tmp_path, write_video, write_audio):
    with pytest.raises(ClipError, match=r"gone\.mp4' is not an existing file"):
        read_frames(tmp_path / "gone.mp4", **SAME)
    (tmp_path / "text.mp4").write_text("this is not a video")
    with pytest.raises(ClipError, match=r"text\.mp4' cannot be read"):
        read_frames(tmp_path / "text.mp4", **SAME)
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(ClipError, match=r"empty\.mp4' cannot be read"):
        read_frames(tmp_path / "empty.mp4", **SAME)
    with pytest.raises(MissingTrackError, match=r"sound\.wav' has no video"):
        read_frames(write_audio(tmp_path / "sound.wav"), **SAME)
    unknown = write_video(tmp_path / "unknown.mp4")
    patch(unknown, b"avc1\x00\x00\x00", b"zzzz", offset=0)
    with pytest.raises(ClipError, match=r"unknown\.mp4' has video in a format that FFmpeg cannot decode"):
        read_frames(unknown, **SAME)


def test_the_cover_of_a_piece_of_music_is_no_video(tmp_path):
    path = tmp_path / "music.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        waveform = container.add_stream("aac", rate=16000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        pixels = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 99, np.uint8), format="rgb24")
        wave = av.AudioFrame.from_ndarray(np.zeros((1, 32000), np.float32), format="fltp", layout="mono")
        wave.sample_rate = 16000
        for stream, frame in ((cover, pixels), (waveform, wave)):
            frame.pts = 0
            container.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(MissingTrackError, match=r"music\.m4a' has no video"):
        read_frames(path, **SAME)


def test_videos_shorter_than_a_second_are_refused(tmp_path, write_video):
    with pytest.raises(ClipError, match=r"short\.mp4' lasts 0\.80 s"):
        read_frames(write_video(tmp_path / "short.mp4", 25, count=20), **SAME)


def test_damage_in_the_middle_is_an_error_and_never_patched_up(tmp_path, write_video):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(50)]
    whole = write_video(tmp_path / "whole.mp4", pictures=pictures).read_bytes()
    middle = whole.index(b"mdat") + (whole.index(b"moov") - whole.index(b"mdat")) // 2
    for name, content in {
        "flipped": whole[:middle] + bytes(byte ^ 0x5A for byte in whole[middle : middle + 200]) + whole[middle + 200 :],
        "zeroed": whole[:middle] + bytes(20_000) + whole[middle + 20_000 :],
        "truncated": whole[:middle],
    }.items():
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(content)
        with pytest.raises(ClipError, match=name):
            read_frames(path, **SAME)


def test_the_cause_of_a_refusal_is_kept(tmp_path):
    (tmp_path / "text.mp4").write_text("this is not a video")
    with pytest.raises(ClipError) as refusal:
        read_frames(tmp_path / "text.mp4", **SAME)
    assert type(refusal.value.__cause__).__name__ == "InvalidDataError"


@pytest.mark.parametrize("name", AWKWARD_LENGTHS)
def test_awkward_files_that_can_be_read(awkward, name):
    frames = read_frames(awkward(name), height=32, width=48)
    assert frames.shape == (AWKWARD_LENGTHS[name], 32, 48, 3)


@pytest.mark.parametrize("name", AWKWARD_REFUSALS)
def test_awkward_files_that_cannot_be_read(awkward, name):
    with pytest.raises(ClipError, match=rf"{name}.*{AWKWARD_REFUSALS[name]}"):
        read_frames(awkward(name), height=32, width=48)


def test_the_feature_is_the_frames_with_its_parameters(tmp_path, write_video):
    path = write_video(tmp_path / "a.mp4")
    feature = Frames(height=32, width=48)
    np.testing.assert_array_equal(feature.extract(path), read_frames(path, height=32, width=48))
    pieces = list(feature.stream(path))
    assert {piece.shape for piece in pieces} == {(1, 32, 48, 3)}
    np.testing.assert_array_equal(np.concatenate(pieces), feature.extract(path))
    assert feature.parameters() == {
        "method": "rgb",
        "version": 3,
        "rate": 5.0,
        "height": 32,
        "width": 48,
        "antialias": False,
    }


def film(write_video, path, height=48, width=64):
    """Two seconds of smooth colours that move, under noise."""
    rng = np.random.default_rng(0)
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    pictures = []
    for phase in np.linspace(0, 6, 53):
        wave = np.sin(across / 9 + phase) + np.cos(down / 7 - phase)
        colours = np.stack([60 * wave + 128, 128 - 40 * wave, 30 * wave + 90], -1)
        pictures.append(np.clip(colours + rng.normal(0, 4, colours.shape), 0, 255).astype(np.uint8))
    return write_video(path, pictures=pictures)


def test_frames_stored_as_jpeg_are_those_of_raw_to_a_few_levels(tmp_path, write_video):
    path = film(write_video, tmp_path / "a.mp4")
    raw, feature = (Frames(height=48, width=64, storage=storage) for storage in ("raw", "jpeg"))
    pixels, stored = raw.extract(path), feature.extract(path)
    assert (stored.ndim, stored.dtype, len(stored)) == (2, np.uint8, 11)
    assert stored.nbytes < pixels.nbytes / 2
    files = [Image.open(BytesIO(row.tobytes())) for row in stored]
    assert {(file.format, file.size, file.layer[1][1:3]) for file in files} == {("JPEG", (64, 48), (1, 1))}  # 4:4:4
    decoded = feature.decoded(stored)
    assert (decoded.shape, decoded.dtype) == (pixels.shape, np.uint8)
    error = np.abs(decoded.astype(int) - pixels)
    assert error.mean() < 2
    assert error.max() <= 16
    np.testing.assert_array_equal(np.concatenate(list(feature.stream(path))), decoded)
    np.testing.assert_array_equal(feature.decoded(stored[3:8]), decoded[3:8])
    np.testing.assert_array_equal(feature.decoded(stored[[[0, 1], [4, 5]]]), decoded[[[0, 1], [4, 5]]])


def test_rows_of_jpeg_are_filled_up_with_zeros(tmp_path, write_video):
    plain, noisy = np.full((64, 64, 3), 99, np.uint8), np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = write_video(tmp_path / "a.mp4", pictures=[plain] * 20 + [noisy] * 20)
    feature = Frames(**SAME, storage="jpeg")
    stored = feature.extract(path)
    ends = [len(row) - np.argmax(row[::-1] > 0) for row in stored]
    assert max(ends) == stored.shape[1]
    assert max(ends[:4]) < min(ends[4:]) / 2
    np.testing.assert_array_equal(feature.decoded(stored[0, : ends[0]]), feature.decoded(stored[0]))


def test_the_quality_of_jpeg_is_a_choice(tmp_path, write_video):
    path = film(write_video, tmp_path / "a.mp4")
    sizes, errors = [], []
    for quality in (50, 80, 95):
        feature = Frames(height=48, width=64, storage="jpeg", jpeg_quality=quality)
        stored = feature.extract(path)
        sizes.append(stored.shape[1])
        errors.append(np.abs(feature.decoded(stored).astype(int) - read_frames(path, height=48, width=64)).mean())
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)


def test_what_determines_the_pixels_tells_entries_apart():
    raw, none, jpeg, coarse = (
        Frames(height=48, width=64, **storage).parameters()
        for storage in ({}, {"storage": "none"}, {"storage": "jpeg"}, {"storage": "jpeg", "jpeg_quality": 80})
    )
    assert raw == none
    assert len({str(each) for each in (raw, jpeg, coarse)}) == 3
    assert [Frames(height=48, width=64, storage=each).stored for each in ("raw", "jpeg", "none")] == [True, True, False]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("rate=10", r"features\.frames\.rate"),
        ("storage=png", r"features\.frames\.storage.*'raw', 'jpeg' or 'none'"),
        ("jpeg_quality=0", r"features\.frames\.jpeg_quality"),
        ("jpeg_quality=100", r"features\.frames\.jpeg_quality.*95"),
    ],
)
def test_values_that_do_not_exist_are_refused(wrong, words):
    with pytest.raises(ConfigError, match=words):
        checked(compose("train", ["experiment=visual", f"features.frames.{wrong}"]))
