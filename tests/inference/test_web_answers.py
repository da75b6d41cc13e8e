"""What the page says of a clip, in words."""

from pathlib import Path

import numpy as np
import pytest

import sedcrnn
from sedcrnn.inference.file_prediction import Prediction
from sedcrnn.inference.web_answers import answer_in_words, describe_answer, safe_name


@pytest.mark.parametrize(
    ("tracks", "heads", "note"),
    [
        ({"audio": 0}, ["visual"], "The file has no audio: the visual head answers without it."),
        ({"video": 0}, ["audio"], "The file has no video: the audio head answers without it."),
        ({"video": 2}, ["late", "audio", "visual", "early"], "The file has 3 s of audio and 2 s of video"),
    ],
)
def test_what_a_clip_lacks_is_said_and_the_heads_that_can_answer_do(
    tracks, heads, note, make_checkpoint, write_media, tmp_path
):
    predictor = sedcrnn.load(make_checkpoint("fusion"))
    answer = describe_answer(predictor, predictor.predict(write_media(tmp_path / "clip.mp4", **tracks)))
    assert [head["name"] for head in answer["heads"]] == heads
    assert answer["notes"][0].startswith(note)


@pytest.mark.parametrize(
    ("values", "calibrated", "headline", "sentence"),
    [
        ([0.95, 0.04, 0.01], True, "metro station", "The network is sure of it: its probability is 0.95"),
        ([0.7, 0.2, 0.1], True, "probably metro station", "It is likely, and not certain: its probability is 0.70"),
        ([0.5, 0.1, 0.4], True, "metro station or tram?", "The network is unsure: the probability of metro station"),
        ([0.95, 0.04, 0.01], False, "metro station", "Its probability is 0.95, the mean over 2 s. It is not"),
    ],
)
def test_the_answer_is_as_sure_as_its_calibrated_probability(values, calibrated, headline, sentence):
    heads = {"audio": np.array([values, values])}
    scenes, temperatures = ("metro_station", "park", "tram"), {"audio": 1.5} if calibrated else {}
    prediction = Prediction(Path("a.wav"), scenes, "audio", heads, {"audio": 2}, temperatures=temperatures)
    said = answer_in_words(prediction)
    assert said[0] == headline
    assert said[1].startswith(sentence)


def test_names_of_clips_are_names_of_files():
    assert safe_name("a clip.mp4") == "a clip.mp4"
    assert safe_name("../../etc/passwd") == "passwd"
    assert safe_name("C:\\clips\\a\x00\n.mp4") == "a.mp4"
    assert [safe_name(name) for name in ("", "..", "a/", "\x00")] == ["clip"] * 4
    assert len(safe_name("😀" * 300 + ".mp4").encode()) < 256
