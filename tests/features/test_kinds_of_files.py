"""Kinds of files that people have and readers trip over, each written here, with the seconds that are in it."""

import os
import shutil
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from sedcrnn.datasets.headers import read_audio_header, read_video_header
from sedcrnn.errors import ClipError, MissingTrackError
from sedcrnn.features.audio_file import open_audio
from sedcrnn.features.frames import Frames
from sedcrnn.features.video_track import aspect_ratio
from tests.fuzz.known_media import Film, heard, seen, tones, write

TIME = np.arange(3 * 16000) / 16000


def sound(path, suffix_format=None, subtype=None, first=0, rate=16000, seconds=3, channels=2):
    """An audio file by libsndfile, of the known signal."""
    wave = tones(Film("wav", "", rate=rate, seconds=seconds, first=first, channels=channels))
    soundfile.write(path, wave.T, rate, format=suffix_format, subtype=subtype)
    return path


def wave_of(path, damage="stop"):
    with open_audio(path, damage) as reader:
        return reader.sample_rate, np.concatenate(list(reader.blocks()), axis=1)


def copy_packets(source: Path, target: Path, change, **options):
    """A copy with other packets: `change` takes one, of which it may change the times, and says whether it stays."""
    with av.open(str(source)) as old, av.open(str(target), "w", **options) as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for packet in old.demux():
            if packet.dts is not None and change(packet):
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    return target


def test_mp3_is_as_long_as_what_decodes(tmp_path):
    loud = sound(tmp_path / "loud.mp3", seconds=2).read_bytes()
    # Half a file with the header of the whole, as of a download that broke off.
    (tmp_path / "cut.mp3").write_bytes(loud[: len(loud) // 2])
    for read in (wave_of, read_audio_header):
        with pytest.raises(ClipError, match=r"cut\.mp3' is truncated: it has [\d,]+ bytes, and its header names"):
            read(tmp_path / "cut.mp3")
    # Silence takes few bytes: without Xing's header, the length that is guessed from the first frames is far off.
    with av.open(str(tmp_path / "vbr.mp3"), "w", options={"write_xing": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=44100, layout="mono", options={"q": "2", "abr": "0"})
        stream.codec_context.qscale = True
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * 44100)
        wave = np.concatenate([np.zeros(2 * 44100), noise, noise]).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.rate, frame.pts, frame.time_base = 44100, 0, Fraction(1, 44100)
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=44100, frame_size=1152)
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(part))
    _, found = wave_of(tmp_path / "vbr.mp3")
    assert found.shape[1] / 44100 == pytest.approx(6, abs=0.1)
    assert read_audio_header(tmp_path / "vbr.mp3").seconds == pytest.approx(6, abs=0.1)
    np.testing.assert_array_equal(found, wave_of(tmp_path / "vbr.mp3")[1])


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32", "NMS_ADPCM_16", "IMA_ADPCM", "MS_ADPCM", "ULAW", "ALAW"])
def test_codings_in_which_nobody_can_seek_are_read(tmp_path, subtype):
    path = sound(tmp_path / "a.wav", subtype=subtype, rate=8000, channels=1)
    assert heard(path) == [0, 1, 2]
    assert read_audio_header(path).seconds == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize(("suffix", "subtype"), [("ogg", "VORBIS"), ("opus", "OPUS"), ("mp3", None)])
def test_joined_recordings_are_read_whole(tmp_path, suffix, subtype):
    form = "OGG" if subtype else None
    parts = [sound(tmp_path / f"{first}.{suffix}", form, subtype, first, rate=48000) for first in (0, 3)]
    path = tmp_path / f"joined.{suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert heard(path) == [0, 1, 2, 3, 4, 5]
    assert read_audio_header(path).seconds == pytest.approx(6, abs=0.2)


@pytest.mark.parametrize(
    ("name", "codec", "form"),
    [
        ("a.wav", "ac3", "wav"),
        ("a.wav", "mp2", "wav"),
        ("a.caf", "alac", "caf"),
        ("a.flac.ogg", "flac", "ogg"),
        ("a.mp3", "aac", "ipod"),
        ("a.wav", "flac", "matroska"),
    ],
)
def test_what_libsndfile_knows_and_cannot_read_is_read_by_ffmpeg(tmp_path, name, codec, form):
    film = Film("mka" if form == "matroska" else "x", codec, seconds=3)
    path = tmp_path / name
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=48000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(tones(film).T.reshape(1, -1).copy(), format="flt", layout="stereo")
        frame.rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(format=stream.format.name, layout="stereo", rate=48000, frame_size=size)
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(part))
    assert heard(path) == [0, 1, 2]


def test_flac_from_a_pipe_does_not_know_its_length(tmp_path):
    path = sound(tmp_path / "a.flac")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the number of samples, 36 bits of the first block
    content[22:26] = bytes(4)
    (tmp_path / "piped.flac").write_bytes(content)
    np.testing.assert_array_equal(wave_of(tmp_path / "piped.flac")[1], wave_of(path)[1])
    assert read_audio_header(tmp_path / "piped.flac").seconds == pytest.approx(3)


@pytest.mark.parametrize("size", [0, 3 * 64000 + 90])
def test_wav_whose_size_is_wrong_is_read_to_its_end(tmp_path, size):
    path = sound(tmp_path / "a.wav")
    whole = wave_of(path)[1]
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", size)
    path.write_bytes(content)
    np.testing.assert_array_equal(wave_of(path)[1], whole)
    assert read_audio_header(path).seconds == 3


@pytest.mark.parametrize("channels", [3, 8, 9, 11, 16, 19, 32])
def test_any_number_of_channels_is_mixed_down(tmp_path, channels):
    path = tmp_path / "a.wav"
    wave = 0.2 * np.sin(2 * np.pi * 400 * TIME)
    soundfile.write(path, np.tile(wave[:, None], channels), 16000, subtype="PCM_16")
    rate, found = wave_of(path)
    assert (rate, found.shape) == (16000, (2, 48000))
    spectrum = np.abs(np.fft.rfft(found[0, :16000]))
    assert spectrum.argmax() == 400
    if channels in (9, 11, 19, 32):  # no layout that FFmpeg knows: the mean
        np.testing.assert_allclose(found, [wave, wave], atol=1e-4)
    assert read_audio_header(path).channels == channels


def test_sound_that_changes_its_channels_and_rate_on_the_way(tmp_path):
    mono = Film("ts", "mp2", "mpeg2video", rate=32000, channels=1, seconds=3)
    parts = [write(tmp_path / "mono.ts", mono)]
    parts.append(write(tmp_path / "stereo.ts", replace(mono, rate=48000, channels=2, first=3)))
    path = tmp_path / "changes.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert heard(path) == [0, 1, 2, 3, 4, 5]
    assert seen(path, mono) == [0, 1, 2, 3, 4, 5]


def test_sound_that_cannot_be_decoded_is_not_taken_for_none(tmp_path):
    path = write(tmp_path / "a.mp4", Film("mp4", "aac", "mpeg4", seconds=2))
    content = path.read_bytes().replace(b"mp4a", b"mhm1").replace(b"esds", b"free")
    path.write_bytes(content)
    for read in (wave_of, read_audio_header):
        with pytest.raises(ClipError, match="has audio in a format that FFmpeg cannot decode") as refusal:
            read(path)
        assert not isinstance(refusal.value, MissingTrackError)


@pytest.mark.parametrize("name", [b"b\xfc.mp4", b"12:30.mp4", b"a%d.mp4", b"-a b [1],=.mp4", b"http:x.mp4", b"'\n.mp4"])
def test_names_of_any_kind(tmp_path, name, monkeypatch):
    film = Film("mp4", "aac", "mpeg4", seconds=1)
    write(tmp_path / "a.mp4", film)
    monkeypatch.chdir(tmp_path)
    path = Path(os.fsdecode(name))
    shutil.copy("a.mp4", path)
    assert (heard(path), seen(path, film)) == ([0], [0])
    wav = path.with_suffix(".wav")
    assert heard(sound(tmp_path / "b.wav", seconds=1).rename(wav)) == [0]
    assert read_audio_header(wav).seconds == 1


@pytest.mark.parametrize("suffix", ["mkv", "mov"])
@pytest.mark.parametrize("times", [(0, 0.4, 2), (0, 1, 2)])
def test_the_last_picture_of_a_screen_recording_stays(tmp_path, suffix, times):
    film = Film(suffix, "aac", "mjpeg", seconds=4)
    stays = lambda packet: packet.stream.type == "audio" or float(packet.pts * packet.time_base) in times  # noqa: E731
    path = copy_packets(write(tmp_path / f"whole.{suffix}", film), tmp_path / f"a.{suffix}", stays)
    assert seen(path, film) == [0, int(times[1]), 2, 2]
    assert read_video_header(path).seconds == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_far_time_is_refused_by_name_and_takes_no_memory(tmp_path, suffix):
    film = Film(suffix, "aac", "mpeg4", seconds=2)

    def far(packet):
        if packet.pts * packet.time_base >= 1.9:
            packet.pts += round(20000 / packet.time_base)
            packet.dts += round(20000 / packet.time_base)
        return True

    path = copy_packets(write(tmp_path / f"a.{suffix}", film), tmp_path / f"far.{suffix}", far)
    for read in (heard, lambda path: seen(path, film), read_audio_header, read_video_header):
        with pytest.raises(ClipError, match=rf"far\.{suffix}' jumps in time from .* s to 20001\.\d s.*300 s at once"):
            read(path)


def test_a_pause_is_kept(tmp_path):
    film = Film("mkv", "pcm_s16le", "mpeg4", seconds=3)

    def later(packet):
        if packet.pts * packet.time_base >= 2:
            packet.pts += round(20 / packet.time_base)
            packet.dts += round(20 / packet.time_base)
        return True

    path = copy_packets(write(tmp_path / "a.mkv", film), tmp_path / "pause.mkv", later)
    assert heard(path) == [0, 1, *[None] * 20, 2]
    assert seen(path, film) == [0, 1, *[1] * 20, 2]


def test_other_files_are_never_opened(tmp_path):
    film = Film("mp4", "aac", "mpeg4", seconds=2)
    write(tmp_path / "secret.mp4", film)
    lists = {
        "a.ffconcat": "ffconcat version 1.0\nfile secret.mp4\n",
        "b.mp4": "ffconcat version 1.0\nfile secret.mp4\n",
        "c.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "d.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        "e.txt": "x" * 5000,
    }
    for name, content in lists.items():
        (tmp_path / name).write_text(content)
        for read in (wave_of, Frames(height=16, width=16).extract, read_audio_header, read_video_header):
            with pytest.raises(ClipError, match=f"{name}' cannot be read"):
                read(tmp_path / name)
    soundfile.write(tmp_path / "concat:secret.wav", TIME * 0, 16000)  # the name alone is no address
    assert wave_of(tmp_path / "concat:secret.wav")[1].shape == (2, 48000)


def test_raw_pictures_have_no_times_but_a_rate(tmp_path):
    film = Film("mp4", "aac", "libx264", seconds=2)
    whole = write(tmp_path / "a.mp4", film)
    with av.open(str(whole)) as old, av.open(str(tmp_path / "raw.h264"), "w", format="h264") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        annex = av.BitStreamFilterContext("h264_mp4toannexb", old.streams.video[0], stream)
        for packet in old.demux(video=0):
            for filtered in annex.filter(packet):
                filtered.stream = stream
                new.mux(filtered)
    assert seen(tmp_path / "raw.h264", film) == [0, 1]


def test_a_silent_first_track_of_two_is_told(tmp_path, caplog):
    path = tmp_path / "camera.mov"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=16000, layout="mono") for _ in range(2)]
        container.start_encoding()
        for level, stream in enumerate(streams):
            frame = av.AudioFrame.from_ndarray(np.full((1, 16000), 9000 * level, np.int16), format="s16", layout="mono")
            frame.rate, frame.pts = 16000, 0
            container.mux([*stream.encode(frame), *stream.encode(None)])
    assert np.abs(wave_of(path)[1]).max() == 0
    assert "has 2 audio tracks, and the one that is read is silent" in caplog.text


def test_wide_pixels_are_shown_wide(tmp_path):
    path = tmp_path / "wide.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 72, 57, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(64, 45)
        for _ in range(25):
            frame = av.VideoFrame.from_ndarray(np.zeros((57, 72, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert aspect_ratio(path) == pytest.approx(72 * 64 / 45 / 57, rel=1e-3)
