"""The figure of a file shows the very values that the data module gives a network, and refuses what cannot be read."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

from sedcrnn import inspect as inspect_command
from sedcrnn.config.checking import checked
from sedcrnn.config.composition import compose
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.config.targets import build
from sedcrnn.datasets.datamodule import SceneDataModule
from sedcrnn.features.frames import Frames
from sedcrnn.features.store import FeatureStore
from sedcrnn.inspect import InspectOptions
from sedcrnn.plotting import network_inputs
from tests.commands import exit_code

RATE, FPS = 16000, 10
SMALL = ["features.frames.height=32", "features.frames.width=32"]


def write_clip(path: Path, seconds: float = 2, audio: bool = True, video: bool = True, size=(96, 64)) -> Path:
    """One file with a chirp and a moving edge, or one of them."""
    with av.open(str(path), "w") as container:
        tracks = []
        if video:
            images = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
            images.width, images.height, images.pix_fmt = *size, "yuv420p"
            for number in range(round(seconds * FPS)):
                pixels = np.full((size[1], size[0], 3), 40, np.uint8)
                pixels[:, : 4 * number] = 200
                tracks.append((number / FPS, images, av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        if audio:
            chirp = container.add_stream("aac", rate=RATE, layout="mono")
            time = np.arange(round(seconds * RATE)) / RATE
            wave = (0.3 * np.sin(2 * np.pi * (300 + 400 * time) * time)).astype(np.float32)[None]
            for first in range(0, wave.shape[1], 1024):
                frame = av.AudioFrame.from_ndarray(wave[:, first : first + 1024], format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE, first, Fraction(1, RATE)
                tracks.append((first / RATE, chirp, frame))
        for _, stream, frame in sorted(tracks, key=lambda track: track[0]):
            container.mux(stream.encode(frame))
        for stream in container.streams:
            container.mux(stream.encode(None))
    return path


def inspect(*overrides: str) -> None:
    """Draw what the command would."""
    inspect_command.draw(checked(compose("inspect", [*SMALL, *overrides]), InspectOptions))


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> Path:
    """Whole and damaged files."""
    folder = tmp_path_factory.mktemp("media")
    whole = write_clip(folder / "clip.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    write_clip(folder / "silent.mp4", audio=False)
    soundfile.write(folder / "audio.wav", np.zeros(2 * RATE), RATE)
    (folder / "cut.wav").write_bytes((folder / "audio.wav").read_bytes()[:RATE])
    (folder / "text.mp4").write_text("this is not a video")
    (folder / "titles.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nHello\n\n")
    return folder


@pytest.fixture
def drawn(monkeypatch) -> dict:
    """What the last figure was drawn from."""
    arguments = {}
    draw = network_inputs.draw_inputs

    def spy(title, start, end, panels, strip):
        arguments.update(title=title, start=start, end=end, panels=panels, strip=strip)
        return draw(title, start, end, panels, strip)

    monkeypatch.setattr(network_inputs, "draw_inputs", spy)
    return arguments


def run(monkeypatch, *arguments: str) -> int:
    return exit_code(monkeypatch, inspect_command, *arguments, *SMALL)


def test_the_figure_shows_what_the_data_module_gives_a_network(
    stage: Callable[..., TrainConfig], shared_store: Path, tmp_path, drawn
):
    config = stage("fusion", "features.frames.storage=jpeg")  # as inspect by itself
    features = {name: build(getattr(config.features, name), "feature") for name in ("spectrogram", "frames")}
    datamodule = SceneDataModule(config.data, features, FeatureStore(shared_store), batch_size=2, seed=0)
    datamodule.prepare_data()
    datamodule.setup()
    clip = datamodule.dataset("test").clips[0]
    batch = datamodule.on_after_batch_transfer(
        next(iter(datamodule.evaluation_loader("test"))), 0
    )  # both windows of the first clip
    output = tmp_path / "figures" / "clip.png"
    inspect(f"file={clip.audio}", f"video={clip.video}", f"output={output}")
    assert batch["clip"].tolist() == [0, 0]
    np.testing.assert_array_equal(drawn["panels"].values, np.concatenate(list(batch["spectrogram"].numpy()), axis=-1))
    np.testing.assert_array_equal(
        drawn["strip"].frames, batch["frames"].numpy().transpose(0, 1, 3, 4, 2).reshape(10, 32, 32, 3)
    )
    assert (drawn["start"], drawn["end"]) == (0, 2)
    assert drawn["panels"].names == ("left", "right", "difference")
    assert (len(drawn["panels"].centres), drawn["panels"].columns_per_second) == (64, 50)
    assert drawn["title"] == f"{clip.audio.name}, {clip.video.name}"
    assert drawn["strip"].aspect_ratio == 64 / 48
    assert imread(output).shape[1] == 1500
    assert [path.name for path in output.parent.iterdir()] == ["clip.png"]  # nothing half-written beside it


def test_an_excerpt_is_whole_windows_and_says_what_none_covers(tmp_path, drawn):
    path = write_clip(tmp_path / "clip.mp4", seconds=3.6)
    output = f"output={tmp_path / 'clip.png'}"
    inspect(f"file={path}", output)
    whole = drawn.copy()
    assert (whole["end"], whole["panels"].values.shape[2], len(whole["strip"].frames)) == (3.6, 150, 15)
    inspect(f"file={path}", output, "start=1", "seconds=1")
    assert (drawn["start"], drawn["end"]) == (1, 2)
    np.testing.assert_array_equal(drawn["panels"].values, whole["panels"].values[:, :, 50:100])
    np.testing.assert_array_equal(drawn["strip"].frames, whole["strip"].frames[5:10])


def test_audio_and_video_of_unequal_length_are_shown_as_far_as_both_go(tmp_path, drawn):
    video = write_clip(tmp_path / "clip.mp4", seconds=3, audio=False)
    audio = tmp_path / "clip.wav"
    soundfile.write(audio, 0.1 * np.random.default_rng(0).standard_normal(2 * RATE), RATE)
    inspect(f"file={audio}", f"video={video}", f"output={tmp_path / 'clip.png'}")
    assert (drawn["end"], drawn["panels"].values.shape[2], len(drawn["strip"].frames)) == (3, 100, 10)


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_what_a_file_has_not_is_left_out(kind, tmp_path, drawn):
    path = write_clip(tmp_path / "clip.mp4", audio=kind == "audio", video=kind == "video")
    inspect(f"file={path}", f"output={tmp_path / 'clip.png'}")
    assert (drawn["panels"] is not None, drawn["strip"] is not None) == (kind == "audio", kind == "video")


def test_portrait_videos_keep_their_proportions(tmp_path, drawn):
    path = write_clip(tmp_path / "clip.mp4", size=(64, 96))
    inspect(f"file={path}", f"output={tmp_path / 'clip.png'}")
    assert drawn["strip"].aspect_ratio == 64 / 96


def test_other_channels_and_banks_are_drawn(tmp_path, drawn):
    path = write_clip(tmp_path / "clip.mp4", video=False)
    choices = ["features/spectrogram=mel", "features.spectrogram.channels=mid_side", "features.spectrogram.hop=0.04"]
    inspect(f"file={path}", f"output={tmp_path / 'clip.png'}", *choices)
    assert drawn["panels"].names == ("mid", "side")
    assert drawn["panels"].values.shape == (2, 64, 50)
    assert drawn["panels"].columns_per_second == 25


def test_words_name_the_files_and_the_figure_lies_in_the_current_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = "take=1, [best] of ${us}'s"
    write_clip(Path(f"{name}.mp4"), audio=False)
    soundfile.write(f"{name}.wav", np.zeros(2 * RATE), RATE)  # silence
    assert run(monkeypatch, f"{name}.wav", f"{name}.mp4", "seconds=1") == 0
    assert capsys.readouterr().out.startswith(f"{name}.png\n")
    height, width, _ = imread(f"{name}.png").shape
    assert (width, height > 800) == (1500, True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["'file' is not set"]),
        (["gone.mp4"], ["'gone.mp4' is not an existing file"]),
        (["."], ["'.' is not an existing file"]),
        (["text.mp4"], ["'text.mp4' cannot be read"]),
        (["cut.mp4"], ["cut.mp4"]),
        (["cut.wav"], ["'cut.wav' is truncated"]),
        (["titles.srt"], ["'titles.srt' holds nothing of what is asked for: spectrogram, frames"]),
        (["silent.mp4", "clip.mp4"], ["'silent.mp4' has no audio"]),
        (["clip.mp4", "audio.wav"], ["'audio.wav' has no video"]),
        (["audio.wav", "features.spectrogram=null"], ["'audio.wav' holds nothing of what is asked for: frames"]),
        (["clip.mp4", "secods=3"], ["'secods'", "'seconds'"]),
        (["clip.mp4", "seconds=1.5"], ["seconds is 1.5", "integer"]),
        (["clip.mp4", "seconds=0"], ["seconds is 0", "greater than or equal to 1"]),
        (["clip.mp4", "start=2"], ["start=2", "2 whole seconds", "0 to 1"]),
        (["clip.mp4", "start=-1"], ["start is -1", "greater than or equal to 0"]),
        (["clip.mp4", "output=clip.mp4"], ["output=clip.mp4 is the recording itself"]),
        (["clip.mp4", "output=clip.bmp"], ["'clip.bmp' cannot be written", "bmp", "png"]),
        (["clip.mp4", "output=clip.mp4/a.png"], ["output=clip.mp4/a.png cannot be written"]),
        (["a", "b", "c"], ["holds 'c'", "file, video"]),
    ],
)
def test_mistakes_end_the_command_with_one_paragraph(arguments, expected, media, monkeypatch, capsys):
    monkeypatch.chdir(media)
    before = {path.name: path.read_bytes() for path in media.iterdir()}
    assert run(monkeypatch, *arguments) == 1
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    paragraph = shown[shown.index("Error: ") :]
    assert "\n" not in paragraph.strip()
    assert all(words in paragraph for words in expected)
    assert {path.name: path.read_bytes() for path in media.iterdir()} == before


def test_a_file_is_read_no_further_than_what_is_drawn(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4", seconds=6)
    read, stream = [], Frames.stream
    monkeypatch.setattr(
        Frames,
        "stream",
        lambda self, path: (read.append(len(piece)) or piece for piece in stream(self, path)),
    )
    inspect(f"file={path}", f"output={tmp_path / 'a.png'}", "start=1", "seconds=2")
    assert sum(read) == 15  # three seconds of five frames
