"""Predictions over time and confusion matrices, as their pixels and texts show them."""

from pathlib import Path

import numpy as np
from PIL import Image

from sedcrnn.inference.file_prediction import Prediction, summary
from sedcrnn.plotting.answer_figures import confusion_figure, timeline_figure, write_timeline


def test_the_timeline_is_darkest_where_a_scene_is_likeliest(tmp_path):
    values = np.array([[1.0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]])
    tracks = {"audio": 4, "video": 4}
    prediction = Prediction(Path("a.mp4"), ("bus", "park", "tram"), "late", {"late": values}, tracks)
    write_timeline(tmp_path / "a.png", prediction, "a.mp4")
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    dark = (abs(pixels - (8, 48, 107)) < 8).all(-1)[:, : int(0.85 * pixels.shape[1])]  # the map's last blue
    rows, columns = np.nonzero(dark)
    middle = (columns.min() + columns.max()) / 2
    # The top third of the map on the left, the bottom third on the right.
    left, right = rows[columns < middle - 2], rows[columns > middle + 2]
    assert left.max() < right.min()
    assert list(tmp_path.iterdir()) == [tmp_path / "a.png"]


def test_the_timeline_says_the_file_the_answer_and_the_scenes_in_words():
    values = np.array([[0.9, 0.1], [0.7, 0.3]])
    heads = {"audio": values[:, ::-1], "late": values}
    prediction = Prediction(Path("a"), ("metro_station", "park"), "late", heads, {"audio": 2}, temperatures={"late": 2})
    figure = timeline_figure(prediction, "my $1_clip$.mp4")
    axes = figure.axes[0]
    assert figure.get_suptitle() == "my $1_clip$.mp4"
    assert axes.get_title("left") == summary(prediction) == "metro station (0.80, likely), 2 s"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["metro station", "park"]
    np.testing.assert_array_equal(axes.images[0].get_array(), values.T)
    figure.draw_without_rendering()  # a name is no formula


def test_confusion_is_in_percent_of_each_true_scene():
    axis = confusion_figure([[3, 1, 0], [0, 0, 0], [0, 1, 7]], ("bus", "metro_station", "park")).axes[0]
    texts = {text.get_position(): text.get_text() for text in axis.texts}  # (predicted, true)
    assert texts == {(0, 0): "75", (1, 0): "25", (1, 2): "12", (2, 2): "88"}
    np.testing.assert_allclose(axis.images[0].get_array()[0], [75, 25, 0])
    assert [label.get_text() for label in axis.get_yticklabels()] == ["bus", "metro station", "park"]
