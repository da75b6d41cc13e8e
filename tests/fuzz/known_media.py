"""Media of every kind, whose every second is known by the pitch of its sound and the grey of its picture."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from sedcrnn.features.audio_file import open_audio
from sedcrnn.features.frames import Frames

HEIGHT, WIDTH = 48, 64
PITCH, STEP = 400, 200  # Hz of second 0, and from each to the next: all below half of 8 kHz
DARK, LIGHTER = 40, 25  # grey of second 0, and from each to the next
TURNS = {  # a, b, c, d of the display matrix -> how numpy turns the picture
    (1, 0, 0, 1): lambda picture: picture,
    (-1, 0, 0, 1): lambda picture: picture[:, ::-1],
    (1, 0, 0, -1): lambda picture: picture[::-1],
    (-1, 0, 0, -1): lambda picture: picture[::-1, ::-1],
    (0, 1, -1, 0): lambda picture: np.rot90(picture, -1),
    (0, -1, 1, 0): lambda picture: np.rot90(picture),
    (0, 1, 1, 0): lambda picture: picture.swapaxes(0, 1),
    (0, -1, -1, 0): lambda picture: picture.swapaxes(0, 1)[::-1, ::-1],
}
QUICK = {"libx264": {"preset": "ultrafast", "crf": "20"}, "libvpx": {"deadline": "realtime", "cpu-used": "8"}}
QUICK["libvpx-vp9"] = QUICK["libvpx"]
BOTH = {  # suffix -> encoders of video and of audio
    "mp4": ("libx264 mpeg4", "aac alac ac3 libmp3lame"),
    "mov": ("libx264 mjpeg", "aac pcm_s16le alac"),
    "mkv": ("libx264 libvpx-vp9 mpeg4 mpeg2video", "aac libopus flac pcm_s16le ac3 mp2"),
    "webm": ("libvpx libvpx-vp9", "libopus"),
    "ts": ("libx264 mpeg2video", "aac mp2 ac3"),
    "mpg": ("mpeg2video", "mp2"),
    "flv": ("flv libx264", "aac libmp3lame"),
    "avi": ("mpeg4 mjpeg", "libmp3lame pcm_s16le ac3"),
    "wmv": ("mpeg4", "wmav2"),
}
SOUND = {
    **{"wav": "pcm_s16le pcm_f32le", "w64": "pcm_s16le", "aiff": "pcm_s16be", "au": "pcm_s16be", "caf": "pcm_s16le"},
    **{"flac": "flac", "mp3": "libmp3lame", "ogg": "flac libopus", "opus": "libopus", "m4a": "aac alac"},
    **{"mka": "libopus flac", "aac": "aac", "ac3": "ac3", "wma": "wmav2", "tta": "tta"},
}
UNTIMED = ("avi", "wmv", *(suffix for suffix in SOUND if suffix not in ("m4a", "mka")))  # no gap can be written
STATED = ("mp4", "mov", "mkv", "webm", "avi", "wmv", "wav", "w64", "aiff", "au", "caf", "flac", "mp3", "ogg", "opus")


@dataclass(frozen=True)
class Film:
    """What to write: `first` is the second that it begins with; `gap` a second whose sound is left out; `late` the
    seconds by which the sound begins after the picture."""

    suffix: str
    audio: str
    video: str | None = None
    rate: int = 48000
    channels: int = 2
    frame_rate: int = 25
    first: int = 0
    seconds: int = 4
    turn: tuple[int, int, int, int] = (1, 0, 0, 1)
    gap: int | None = None
    late: int = 0


def draw(seed: int) -> Film:
    """A film of any kind that can be written here."""
    rng = random.Random(seed)
    suffix = rng.choice([*BOTH, *SOUND])
    film = Film(suffix, rng.choice((BOTH[suffix][1] if suffix in BOTH else SOUND[suffix]).split()))
    if suffix in BOTH:
        film = replace(film, video=rng.choice(BOTH[suffix][0].split()), frame_rate=rng.choice((24, 25, 30)))
    rates = {"libopus": [48000], "flv": [44100]}.get(film.audio if suffix != "flv" else "flv", [32000, 44100, 48000])
    film = replace(film, rate=rng.choice(rates), channels=rng.choice((1, 2)))
    if suffix in ("mp4", "mov"):
        film = replace(film, turn=rng.choice(list(TURNS)))
    timed = suffix not in UNTIMED and not (suffix == "mov" and film.audio == "pcm_s16le")  # mov keeps no gaps in PCM
    if timed and rng.random() < 0.5:
        film = replace(film, gap=rng.choice((1, 2)))
    elif film.video and timed and rng.random() < 0.3:
        film = replace(film, late=1)
    return film


def write(path: Path, film: Film) -> Path:
    """Write a film, its packets in the order of their times."""
    packets: list[av.Packet] = []
    with av.open(str(path), "w", format={"wma": "asf", "wmv": "asf"}.get(film.suffix)) as container:
        audio = container.add_stream(film.audio, rate=film.rate, layout="mono" if film.channels == 1 else "stereo")
        audio.bit_rate = 128_000
        video = container.add_stream(film.video, rate=film.frame_rate) if film.video else None
        if video is not None:
            video.width, video.height, video.options = WIDTH, HEIGHT, QUICK.get(film.video or "", {})
            video.pix_fmt = "yuvj420p" if film.video == "mjpeg" else "yuv420p"
            video.codec_context.gop_size, video.codec_context.max_b_frames = 12, 0
            video.bit_rate = 2_000_000
            for frame in _pictures(film):
                packets += video.encode(frame)
            packets += video.encode(None)
        for part in _sound(film, audio):
            packets += [packet for packet in audio.encode(part) if not _left_out(packet, film)]
        packets += [packet for packet in audio.encode(None) if not _left_out(packet, film)]
        if video is not None:  # encoders work in the container's clock from the first packet on
            container.start_encoding()
        for packet in sorted(packets, key=lambda each: (each.dts or 0) * (each.time_base or 1)):
            container.mux(packet)
    if film.turn != (1, 0, 0, 1):
        _turn(path, film.turn)
    return path


def _pictures(film: Film) -> Iterator[av.VideoFrame]:
    for number in range(film.seconds * film.frame_rate):
        grey = DARK + LIGHTER * (film.first + number // film.frame_rate)
        pixels = np.full((HEIGHT, WIDTH, 3), grey, np.uint8)
        pixels[: HEIGHT // 2, : WIDTH // 2] = 255  # the upper left
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, film.frame_rate)
        yield frame


def tones(film: Film) -> NDArray[np.float32]:
    """(channel, sample)"""
    seconds = np.arange(film.seconds * film.rate) / film.rate
    pitch = PITCH + STEP * (film.first + seconds.astype(int))
    return np.tile(0.3 * np.sin(2 * np.pi * pitch * seconds), (film.channels, 1)).astype(np.float32)


def _sound(film: Film, audio: av.AudioStream) -> Iterator[av.AudioFrame]:
    layout = audio.layout.name
    frame = av.AudioFrame.from_ndarray(tones(film).T.reshape(1, -1).copy(), format="flt", layout=layout)
    frame.rate, frame.time_base, frame.pts = film.rate, Fraction(1, film.rate), film.late * film.rate
    size = audio.codec_context.frame_size or 1024
    resampler = av.AudioResampler(format=audio.format.name, layout=layout, rate=film.rate, frame_size=size)
    yield from resampler.resample(frame)
    yield from resampler.resample(None)


def _left_out(packet: av.Packet, film: Film) -> bool:
    if film.gap is None or packet.pts is None or packet.time_base is None:
        return False
    return film.gap <= packet.pts * packet.time_base < film.gap + 1


def _turn(path: Path, turn: tuple[int, int, int, int]) -> None:
    a, b, c, d = ((65536 * sign).to_bytes(4, "big", signed=True) for sign in turn)
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44
    while content[place + 36 : place + 40] == bytes(4):  # of the picture's track, which has a width
        place = content.index(b"tkhd", place) + 44
    content[place : place + 24] = a + b + bytes(4) + c + d + bytes(4)
    path.write_bytes(content)


def heard(path: Path, damage: str = "stop") -> list[int | None]:
    """Which second every whole second of sound is, by its middle; None for silence."""
    with open_audio(path, damage) as reader:
        wave = np.concatenate(list(reader.blocks()), axis=1).mean(0)
    found: list[int | None] = []
    for second in range(round(len(wave) / reader.sample_rate - 0.3)):
        middle = wave[int((second + 0.3) * reader.sample_rate) : int((second + 0.7) * reader.sample_rate)]
        spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
        pitch = spectrum.argmax() * reader.sample_rate / max(1, len(middle))
        found.append(round((pitch - PITCH) / STEP) if np.sqrt((middle**2).mean()) > 0.05 else None)
    return found


def seen(path: Path, film: Film, damage: str = "stop") -> list[int]:
    """Which second every whole second of video shows, by its middle; the picture has to be turned as `film` says."""
    upright = TURNS[film.turn](np.zeros((HEIGHT, WIDTH)))
    frames = Frames(height=upright.shape[0], width=upright.shape[1], damage=damage).extract(path).mean(-1)
    mark = np.zeros((HEIGHT, WIDTH), bool)
    mark[: HEIGHT // 2 - 4, : WIDTH // 2 - 4] = True
    grey = np.zeros((HEIGHT, WIDTH), bool)
    grey[HEIGHT // 2 + 4 :, WIDTH // 2 + 4 :] = True
    middles = frames[2::5]
    assert (middles[:, TURNS[film.turn](mark)].mean(1) > 200).all(), "the picture is turned wrongly"
    return [round((value - DARK) / LIGHTER) for value in middles[:, TURNS[film.turn](grey)].mean(1)]


def expected(film: Film) -> tuple[list[int | None], list[int]]:
    """What `heard` and `seen` find in it."""
    seconds: list[int | None] = [film.first + second for second in range(film.seconds)]
    if film.gap is not None:
        seconds[film.gap] = None
    return [None] * film.late + seconds, [film.first + second for second in range(film.seconds)]
