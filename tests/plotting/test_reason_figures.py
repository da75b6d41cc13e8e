"""Shares and heat maps as figures: what is drawn is what was found."""

from pathlib import Path

import numpy as np
import pytest

from sedcrnn.inference.file_prediction import Prediction
from sedcrnn.inference.reasons import Explanation
from sedcrnn.plotting.answer_figures import timeline_figure
from sedcrnn.plotting.reason_figures import heat_map_figure, write_heat_maps


@pytest.fixture
def prediction() -> Prediction:
    late = np.array([[0.7, 0.3], [0.9, 0.1]])
    alone = {"audio": np.array([[0.6, 0.4], [0.2, 0.8]]), "video": np.array([[0.5, 0.5], [0.9, 0.1]])}
    tracks = {"audio": 2, "video": 2}
    return Prediction(Path("a.mp4"), ("street_traffic", "park"), "late", {"late": late}, tracks, alone=alone)


def test_the_timeline_has_a_strip_of_shares_where_there_are_reasons(prediction):
    _, strip, _ = timeline_figure(prediction, "a.mp4").axes
    bars = [(bar.get_x(), bar.get_y(), bar.get_height()) for bar in strip.patches]
    # Second 0: 0.15 of audio, 0.05 of video on it; second 1: -0.15 of audio, below, and 0.55 of video.
    expected = [(0, 0, 0.15), (1, 0, -0.15), (0, 0.15, 0.05), (1, 0, 0.55)]
    np.testing.assert_allclose(bars, expected, atol=1e-12)
    assert strip.get_ylabel() == "share in\nstreet traffic"
    assert len(timeline_figure(Prediction(**vars(prediction) | {"alone": {}}), "a.mp4").axes) == 2


def test_each_second_has_what_the_network_got_and_the_heat_over_it(prediction, tmp_path):
    generator = np.random.default_rng(0)
    inputs = {
        "spectrogram": generator.random((2, 3, 4, 6)),
        "frames": generator.integers(0, 256, (2, 5, 3, 8, 9), dtype=np.uint8),
    }
    heat = {"spectrogram": generator.random((2, 4, 6)), "frames": generator.random((2, 5, 8, 9))}
    found = Explanation(prediction, "street_traffic", prediction.shares(), np.array([0, 1]), heat, inputs)
    figure = heat_map_figure(found, "a.mp4")
    grid = np.array(figure.axes).reshape(4, 2)
    second = grid[:, 1]
    np.testing.assert_array_equal(second[0].images[0].get_array(), inputs["frames"][1, 2].transpose(1, 2, 0))
    np.testing.assert_array_equal(second[1].images[1].get_array(), heat["frames"][1, 2])
    np.testing.assert_array_equal(second[2].images[0].get_array(), inputs["spectrogram"][1].mean(0))
    np.testing.assert_array_equal(second[3].images[1].get_array(), heat["spectrogram"][1])
    assert second[0].get_title() == "second 1\naudio -0.15\nvideo +0.55"
    assert grid[1, 0].get_ylabel() == "for street traffic"
    write_heat_maps(tmp_path / "a.png", found, "a.mp4")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
