"""The seconds that a page shows: the most wrong and the most right, with the network's inputs where the media are."""

import base64
import io
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sedcrnn.config.checking import checked
from sedcrnn.config.composition import compose
from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.reporting.examples import Picture, ShownSecond, find_examples, picture_examples
from sedcrnn.reporting.scoring import ScoredRun
from tests.reporting.conftest import AUDIO


def test_examples_are_the_most_wrong_of_each_clip_and_the_surest_of_each_scene(write_run, tables_of, tmp_path):
    write_run("audio", 0, AUDIO)
    (table,) = tables_of(tmp_path / "runs")
    worst, best = find_examples(table.rows[0].runs[0])

    def root(value: float) -> float:  # at the temperature of 2 that its validation fold asks for
        odds = (value / (1 - value)) ** 0.5
        return odds / (1 + odds)

    assert [(one.clip, one.second, one.scene, one.answer) for one in worst] == [
        ("b2", 0, "bus", "park"),
        ("p2", 0, "park", "bus"),
    ]
    assert worst[0].probability == pytest.approx(root(0.36), rel=1e-4)
    assert worst[0].answer_probability == pytest.approx(1 - root(0.36), rel=1e-4)
    assert {(one.scene, one.answer) for one in best} == {("bus", "bus"), ("park", "park")}
    assert [one.probability for one in best] == pytest.approx(2 * [root(0.82)], rel=1e-4)


def test_without_a_temperature_probabilities_are_raw(write_run, tables_of, tmp_path):
    run = write_run("audio", 0, AUDIO)
    (run / "evaluation" / "validation" / "metrics.json").unlink()
    (table,) = tables_of(tmp_path / "runs")
    worst, _ = find_examples(table.rows[0].runs[0])
    assert [one.probability for one in worst] == pytest.approx([0.36, 0.36])


@pytest.fixture
def scored(write_run, tables_of, tau_root, tmp_path) -> ScoredRun:
    """A run that was trained on real media."""
    small = [f"features.frames.{side}=32" for side in ("height", "width")]
    composed = compose("train", ["experiment=fusion", "data=tau2021", f"data.root={tau_root}", *small])
    config = asdict(checked(composed, TrainConfig))
    write_run("audio", 0, AUDIO, config={key: config[key] for key in ("data", "features")})
    (table,) = tables_of(tmp_path / "runs")
    return table.rows[0].runs[0]


def example(clip: str, second: int) -> ShownSecond:
    return ShownSecond(clip, second, "bus", 0.1, "park", 0.9)


def pixels(picture: Picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.data))))


def test_pictures_are_the_inputs_of_the_second(scored):
    bus, park, unknown = example("bus-lisbon-12-1012", 1), example("park-lisbon-13-1013", 0), example("b1", 0)
    pictures, reason = picture_examples(scored, [bus, park, unknown])
    assert (list(pictures), reason) == ([bus, park], "")
    rumble, hiss = ({picture.what: picture for picture in pictures[one]} for one in (bus, park))
    assert rumble["frame"].aspect_ratio == 64 / 48
    assert pixels(rumble["frame"]).shape == (32, 32, 3)
    assert pixels(rumble["frame"]).mean((0, 1)) == pytest.approx((180, 40, 40), abs=12)
    assert pixels(rumble["spectrogram"]).shape == (64, 50, 3)
    # The bus's lowest bands, at the bottom, are the brighter ones.
    assert pixels(rumble["spectrogram"])[-16:].mean() > pixels(rumble["spectrogram"])[:16].mean() + 40
    assert pixels(hiss["spectrogram"])[:16].mean() > pixels(hiss["spectrogram"])[-16:].mean() + 40


def test_media_that_have_moved_are_no_error(scored, tau_root, tmp_path):
    written = scored.run.folder / "config.yaml"
    text = written.read_text()
    written.write_text(text.replace(str(tau_root), str(tmp_path / "moved")))
    pictures, reason = picture_examples(scored, [example("bus-lisbon-12-1012", 1)])
    assert pictures == {}
    assert str(tmp_path / "moved") in reason

    # Lists that are there still, and files that are not.
    lists = tmp_path / "lists" / "evaluation_setup"
    lists.mkdir(parents=True)
    for file in Path(tau_root, "evaluation_setup").iterdir():
        (lists / file.name).write_text(file.read_text())
    written.write_text(text.replace(str(tau_root), str(lists.parent)))
    pictures, reason = picture_examples(scored, [example("bus-lisbon-12-1012", 1)])
    assert pictures == {}
    assert reason


def test_a_source_that_is_not_trusted_is_not_built(scored):
    written = scored.run.folder / "config.yaml"
    written.write_text(written.read_text().replace("sedcrnn.datasets.tau2021.", "theirs.datasets."))
    pictures, reason = picture_examples(scored, [example("bus-lisbon-12-1012", 1)])
    assert pictures == {}
    assert "theirs" in reason
