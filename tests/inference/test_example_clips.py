"""Which clips of a data set the page offers to try, and the files that it makes of them."""

import io
import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from sedcrnn.datasets.clips import Clip
from sedcrnn.errors import ClipError, MissingTrackError
from sedcrnn.inference.example_clips import as_one_file, find_examples, thumbnail
from sedcrnn.runs.checkpoints import write_checkpoint

BEST = Path("checkpoints") / "best.ckpt"


def test_there_is_one_clip_of_each_scene_of_the_test_fold(make_checkpoint):
    examples = find_examples(make_checkpoint("audio") / BEST)
    assert [(clip.id, clip.fold) for clip in examples] == [
        ("bus-lisbon-12-1012", "test"),
        ("park-lisbon-13-1013", "test"),
    ]


def changed(checkpoint: Path, path: Path, **described) -> Path:
    content = torch.load(checkpoint, weights_only=True)
    content["hyper_parameters"] |= described
    write_checkpoint(content, path)
    return path


def test_locations_that_the_network_has_learnt_from_are_left_out(make_checkpoint, tmp_path):
    examples = find_examples(
        changed(make_checkpoint("audio") / BEST, tmp_path / "a.ckpt", locations=["lisbon-12", "lisbon-13"])
    )
    assert [clip.id for clip in examples] == ["bus-lisbon-14-1014", "park-lisbon-15-1015"]


def test_without_the_data_set_or_in_an_onnx_file_there_are_none_and_the_log_says_why(
    make_checkpoint, exported, tmp_path, caplog
):
    checkpoint = make_checkpoint("audio") / BEST
    data = torch.load(checkpoint, weights_only=True)["hyper_parameters"]["data"]
    gone = {**data, "source": {**data["source"], "root": str(tmp_path / "gone")}}
    with caplog.at_level("INFO"):
        assert find_examples(changed(checkpoint, tmp_path / "a.ckpt", data=gone)) == []
    assert "There are no example clips to try: The folder of the data set does not exist" in caplog.text
    assert find_examples(exported) == []


@pytest.mark.parametrize(("subtype", "kind"), [("PCM_16", "int16"), ("PCM_24", "int32")])
def test_audio_and_video_become_one_file_that_loses_nothing(subtype, kind, make_checkpoint, tmp_path):
    clip = find_examples(make_checkpoint("audio") / BEST)[0]
    noise = np.random.default_rng(0).uniform(-1, 1, (96001, 2))
    soundfile.write(tmp_path / "a.wav", noise, 48000, subtype=subtype)
    joined = as_one_file(replace(clip, audio=tmp_path / "a.wav"), tmp_path / "joined.mp4")
    with av.open(joined) as container:
        blocks = [block.to_ndarray() for block in container.decode(audio=0)]
        samples = np.concatenate(blocks, 1).reshape(-1, 2)
    expected = soundfile.read(tmp_path / "a.wav", dtype=kind)[0]
    np.testing.assert_array_equal(samples, expected)
    frames = [[frame.to_ndarray() for frame in av.open(path).decode(video=0)] for path in (clip.video, joined)]
    assert len(frames[0]) == 20  # two seconds of ten
    np.testing.assert_array_equal(*frames)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "joined.mp4"]


def test_a_clip_of_one_file_is_that_file(write_media, tmp_path):
    file = write_media(tmp_path / "a.mp4")
    clip = Clip("a", file, file, "bus", "", "a", "test")
    assert as_one_file(clip, tmp_path / "joined.mp4") == file


def test_a_damaged_clip_is_named_and_leaves_nothing(make_checkpoint, tmp_path):
    clip = find_examples(make_checkpoint("audio") / BEST)[0]
    shutil.copy(__file__, tmp_path / "broken.wav")
    with pytest.raises(ClipError, match=r"broken\.wav"):
        as_one_file(replace(clip, audio=tmp_path / "broken.wav"), tmp_path / "joined.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.wav"]


def test_the_thumbnail_is_the_first_frame(make_checkpoint, tmp_path):
    clip = find_examples(make_checkpoint("audio") / BEST)[0]
    image = np.asarray(Image.open(io.BytesIO(thumbnail(clip))))
    np.testing.assert_allclose(image.mean((0, 1)), (180, 40, 40), atol=12)  # buses are red
    with pytest.raises(MissingTrackError):
        thumbnail(replace(clip, video=clip.audio))
