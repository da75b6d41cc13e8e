"""What a predictor says of why it answers so: on files, by what it answers to parts of them."""

import csv
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

import sedcrnn
from sedcrnn import predict
from sedcrnn.errors import ClipError, ConfigError
from sedcrnn.inference.file_prediction import Prediction, reasons_in_words, table
from sedcrnn.inference.media_windows import MediaWindows
from sedcrnn.inference.reasons import tracks_not_alone
from sedcrnn.inference.web_answers import describe_answer
from sedcrnn.runs.checkpoints import read_content, write_checkpoint


@pytest.fixture
def clips(write_media, tmp_path) -> dict[str, Path]:
    """The same three seconds with both tracks, and with one."""
    lengths = {"both": (3, 3), "audio": (0, 3), "video": (3, 0)}
    return {name: write_media(tmp_path / f"{name}.mp4", *length) for name, length in lengths.items()}


@pytest.fixture
def changed(make_checkpoint: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """The fusion checkpoint with other arguments and other weights of the late layer."""

    def make(late: torch.Tensor | None = None, **arguments: str) -> Path:
        content = read_content(make_checkpoint("fusion") / "checkpoints" / "best.ckpt")
        content["hyper_parameters"]["network"] |= arguments
        if late is not None:
            content["state_dict"]["network.late.weight"] = late
        write_checkpoint(content, tmp_path / "changed.ckpt")
        return tmp_path / "changed.ckpt"

    return make


def test_alone_is_the_answer_to_a_file_with_that_track_alone(make_checkpoint, clips):
    predictor = sedcrnn.load(make_checkpoint("fusion"), "cpu")
    found = predictor.predict(clips["both"], reasons=True)
    for track, head in (("audio", "audio"), ("video", "visual")):
        lone = predictor.predict(clips[track])
        np.testing.assert_allclose(found.alone[track], lone.probabilities[head], atol=1e-6)
    shares = found.shares()
    number = found.clip["late"].argmax()
    np.testing.assert_allclose(shares["audio"] + shares["video"], found.probabilities["late"][:, number] - 0.1)
    assert np.abs(shares["audio"]).max() > 1e-3
    assert found.shares(found.scenes[number])["audio"].tolist() == shares["audio"].tolist()
    assert predictor.predict(clips["both"]).shares() == {}


def test_fusion_that_goes_on_alone_is_asked_itself(changed, clips):
    predictor = sedcrnn.load(changed(missing="zero"), "cpu")
    found = predictor.predict(clips["both"], reasons=True)
    assert found.head == "late"
    for track in ("audio", "video"):
        lone = predictor.predict(clips[track])
        assert lone.head == "late"
        np.testing.assert_allclose(found.alone[track], lone.probabilities["late"], atol=1e-6)


def test_a_late_layer_that_reads_the_picture_alone_gives_it_everything(changed, clips):
    late = torch.zeros(10, 30)  # predictions of the early stage, of audio and of video
    late[:, 20:] = 5 * torch.eye(10)
    predictor = sedcrnn.load(changed(late, missing="zero"), "cpu")
    found = predictor.predict(clips["both"], reasons=True)
    shares = found.shares()
    np.testing.assert_allclose(shares["audio"], 0, atol=1e-6)
    np.testing.assert_allclose(shares["video"], found.probabilities["late"].T[found.clip["late"].argmax()] - 0.1)
    assert reasons_in_words(found).startswith("The video decided for ")


def test_a_head_that_hears_only_owes_nothing_to_the_picture(make_checkpoint, clips):
    found = sedcrnn.load(make_checkpoint("fusion"), "cpu").predict(clips["both"], head="audio", reasons=True)
    assert found.shares()["video"].tolist() == [0, 0, 0]
    assert "The audio decided for" in reasons_in_words(found)
    alone = sedcrnn.load(make_checkpoint("audio"), "cpu").predict(clips["both"], reasons=True)
    assert list(alone.shares()) == ["audio"]


def test_an_onnx_file_says_the_same_and_has_no_heat_maps(make_checkpoint, exported, clips):
    pytest.importorskip("onnxruntime")
    predictor = sedcrnn.load(exported, "cpu")
    found = predictor.predict(clips["both"], reasons=True)
    expected = sedcrnn.load(make_checkpoint("fusion"), "cpu").predict(clips["both"], reasons=True)
    assert list(expected.shares()) == ["audio", "video"]
    for track, values in expected.shares().items():
        np.testing.assert_allclose(found.shares()[track], values, atol=1e-4)
    with pytest.raises(ConfigError, match=r"exported/fusion\.onnx gives no heat maps.*Use the run of an ONNX file"):
        predictor.explain(clips["both"])


def test_a_network_that_needs_both_tracks_is_refused_before_it_works(make_checkpoint, clips, monkeypatch):
    predictor = sedcrnn.load(make_checkpoint("fusion"), "cpu")
    monkeypatch.setattr(predictor.model, "networks", predictor.model.networks[:1])
    monkeypatch.setattr(predictor.model, "heads", {"late": ("spectrogram", "frames")})
    assert tracks_not_alone(predictor.model, predictor.features, "late") == ["audio", "video"]
    with pytest.raises(ConfigError, match=r"does not answer to audio or to video alone.*Leave reasons out"):
        predictor.predict(clips["both"], reasons=True)


def test_an_explanation_has_heat_of_the_seconds_asked_for(make_checkpoint, clips):
    predictor = sedcrnn.load(make_checkpoint("fusion"), "cpu")
    found = predictor.explain(clips["both"], start=1, seconds=5)
    assert found.seconds.tolist() == [1, 2]
    assert found.scene == found.prediction.top(1)[0][0]
    assert {name: values.shape for name, values in found.inputs.items()} == {
        "spectrogram": (2, 3, 64, 50),
        "frames": (2, 5, 3, 64, 64),
    }
    assert {name: values.shape for name, values in found.heat.items()} == {
        "spectrogram": (2, 64, 50),
        "frames": (2, 5, 64, 64),
    }
    assert all(0 <= values.min() < values.max() == 1 for values in found.heat.values())
    assert {track: len(values) for track, values in found.shares.items()} == {"audio": 3, "video": 3}
    whole = predictor.explain(clips["both"])
    np.testing.assert_allclose(whole.heat["frames"][1:], found.heat["frames"], atol=1e-5)
    other = predictor.explain(clips["both"], head="visual", scene="tram")
    assert other.scene == "tram"
    assert other.heat["spectrogram"].max() == 0  # on which the head does not depend
    lone = predictor.explain(clips["audio"])
    assert list(lone.heat) == ["spectrogram"]
    with pytest.raises(ConfigError, match=r"start=3, and .* has 3 whole seconds"):
        predictor.explain(clips["both"], start=3)
    with pytest.raises(ConfigError, match=r"scene .*'trams'.*nearest is 'tram'"):
        predictor.explain(clips["both"], scene="trams")
    with pytest.raises(ClipError, match="There is no file"):
        predictor.explain(clips["both"].with_name("gone.mp4"))


def test_a_file_is_read_once_for_the_answer_and_its_reasons(make_checkpoint, clips, monkeypatch):
    predictor = sedcrnn.load(make_checkpoint("fusion"), "cpu")
    (features,) = MediaWindows(predictor.features, clips["both"], clips["both"]).batches()  # all three seconds
    read = Mock(side_effect=MediaWindows)
    monkeypatch.setattr("sedcrnn.inference.predictor.MediaWindows", read)
    for number, batch_size in enumerate((None, 1, 2), start=1):
        found = predictor.explain(clips["both"], start=1, seconds=1, batch_size=batch_size)
        assert read.call_count == number
        assert found.prediction.tracks == {"audio": 3, "video": 3}
        for name, values in features.items():
            np.testing.assert_allclose(found.inputs[name], values[1:2], atol=1e-6)
    assert predictor.explain(clips["both"], seconds=0).heat == {}


def test_an_encoder_without_rows_and_columns_is_refused_before_the_file_is_predicted(
    make_checkpoint, clips, monkeypatch
):
    predictor = sedcrnn.load(make_checkpoint("fusion"), "cpu")
    monkeypatch.setattr(predictor.model.networks[0].visual.encoder, "on_a_grid", False)  # as of LeViT
    with monkeypatch.context() as nothing_predicted:
        nothing_predicted.setattr(predictor.model, "calibrated_probabilities", None)
        with pytest.raises(ConfigError, match=r"'test_resnet', which looks at the frames, has no last map"):
            predictor.explain(clips["both"])
    assert list(predictor.explain(clips["audio"]).heat) == ["spectrogram"]


def prediction(**changes) -> Prediction:
    late = np.array([[0.7, 0.2, 0.05, 0.05], [0.9, 0.05, 0.025, 0.025]])
    audio = np.array([[0.65, 0.15, 0.1, 0.1], [0.85, 0.05, 0.05, 0.05]])
    video = np.array([[0.25, 0.25, 0.25, 0.25], [0.35, 0.25, 0.2, 0.2]])
    given = {
        "path": Path("a.mp4"),
        "scenes": ("street_traffic", "park", "tram", "bus"),
        "head": "late",
        "probabilities": {"audio": audio, "late": late},
        "tracks": {"audio": 2, "video": 2},
        "alone": {"audio": audio, "video": video},
    }
    return Prediction(**given | changes)


def test_words_and_tables_say_which_track_decided():
    lines = list(table(prediction(), "a.mp4", 1))
    # (0.65 - 0.25 + 0.7 - 0.25) / 2 = 0.425 and 0.025; (0.6 + 0.55) / 2 = 0.575 and 0.075
    assert "The audio decided for street traffic: 0.80 = 0.25 guessed + 0.50 audio + 0.05 video." in lines
    assert lines[-3:] == [
        "      0  street traffic 0.700  audio +0.425  video +0.025",
        "      1  street traffic 0.900  audio +0.575  video +0.075",
        "    all  street traffic 0.800  audio +0.500  video +0.050",
    ]
    both = prediction(alone={"audio": prediction().alone["audio"], "video": prediction().alone["audio"]})
    assert reasons_in_words(both).startswith("Audio and video decided together for street traffic: 0.80 = ")
    lone = prediction(alone={"video": prediction().probabilities["late"]})
    assert reasons_in_words(lone) == "The video decided for street traffic: 0.80 = 0.25 guessed + 0.55 video."


def test_the_page_says_which_track_decided(make_checkpoint):
    predictor = sedcrnn.load(make_checkpoint("fusion"), "cpu")
    about = describe_answer(predictor, prediction())
    assert about["notes"][-1].startswith("The audio decided for street traffic")
    assert describe_answer(predictor, prediction(alone={}))["notes"] == []


def test_the_command_prints_writes_and_draws_them(make_checkpoint, clips, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    written = [f"json={out / 'all.json'}", f"csv={out / 'all.csv'}", f"plot={out / 'plot.png'}", f"cam={out / 'cams'}"]
    run = f"run={make_checkpoint('fusion')}"
    monkeypatch.setattr(sys, "argv", ["sedcrnn.predict", run, str(clips["both"]), *written])
    predict.main()
    shown = capsys.readouterr().out
    assert re.search(
        r"^.* decided .*: [01]\.\d\d = 0\.10 guessed [+-] 0\.\d\d audio [+-] 0\.\d\d video\.$", shown, re.M
    )
    reasons = json.loads((out / "all.json").read_text())["files"][0]["reasons"]
    assert reasons["guessed"] == 0.1
    with (out / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    answering = [row for row in rows if row["head"] == "late"]
    assert {row["reasons_for"] for row in answering} == {reasons["scene"]}
    for track in ("audio", "video"):
        listed = [float(row[f"{track}_share"]) for row in answering]
        np.testing.assert_allclose(listed, reasons["shares"][track], rtol=1e-5)
    assert {row["audio_share"] for row in rows if row["head"] != "late"} == {""}
    assert sorted(path.name for path in out.rglob("*.png")) == ["both.png", "plot.png"]


def test_without_reasons_the_table_has_no_columns_of_them(make_checkpoint, clips, tmp_path, monkeypatch):
    run, written = f"run={make_checkpoint('fusion')}", tmp_path / "all.csv"
    monkeypatch.setattr(sys, "argv", ["sedcrnn.predict", run, str(clips["both"]), f"csv={written}"])
    predict.main()
    assert "share" not in written.read_text()
