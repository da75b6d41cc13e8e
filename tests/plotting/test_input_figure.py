"""Labels, thumbnails and windows lie where they belong, in bands, seconds and pixels."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from sedcrnn.features.filterbanks.gammatone import centre_frequencies
from sedcrnn.plotting.input_figure import DPI, LONGEST_TITLE, FrameStrip, SpectrogramPanels, band_ticks, draw_inputs

CENTRES = centre_frequencies(22050, 64, 0)


def spectrograms(seconds=3, channels=3, bands=64):
    values = np.random.default_rng(0).uniform(-1, 1, (channels, bands, 50 * seconds)).astype(np.float32)
    names = ("left", "right", "difference")[:channels]
    return SpectrogramPanels(values=values, names=names, centres=CENTRES, columns_per_second=50)


def strip(seconds=3, aspect_ratio=1.0):
    """Frames that show their own number."""
    frames = np.broadcast_to(np.arange(5 * seconds, dtype=np.uint8)[:, None, None, None], (5 * seconds, 8, 8, 3))
    return FrameStrip(frames=frames, aspect_ratio=aspect_ratio)


def extents(axis):
    return [tuple(map(float, image.get_extent())) for image in axis.images]


def test_ticks_lie_on_the_bands_of_their_frequencies():
    bands, labels = band_ticks(np.array([8000.0, 4000, 2000, 1000, 500]), apart=0.9)
    assert dict(zip(labels, bands, strict=True)) == {"1k": 3, "2k": 2, "5k": 0.75, "500": 4}
    bands, labels = band_ticks(CENTRES, apart=6)
    hertz = [float(label.replace("k", "e3")) for label in labels]
    assert {100, 1000, 10000} <= set(hertz)
    for band, frequency in zip(bands, hertz, strict=True):
        assert CENTRES[int(np.ceil(band))] <= frequency <= CENTRES[int(np.floor(band))]
    assert np.diff(sorted(bands)).min() >= 6


def test_spectrograms_lie_on_the_time_axis_highest_band_on_top():
    given = spectrograms()
    axes = draw_inputs("a", 4, 7, given, None).axes
    assert [axis.get_title(loc="left") for axis in axes[:3]] == ["left", "right", "difference"]
    assert len(axes) == 4  # and the colour bar
    for axis, values in zip(axes, given.values, strict=False):
        np.testing.assert_array_equal(axis.images[0].get_array(), values)
        assert extents(axis) == [(4, 7, 63.5, -0.5)]
        assert axis.get_xlim() == (4, 7)
        assert axis.get_ylim() == (63.5, -0.5)
        assert axis.images[0].get_clim() == (-1, 1)
        # The boundaries of the windows.
        assert [float(line[0, 0]) for line in axis.collections[0].get_segments()] == [5, 6]


@pytest.mark.parametrize(
    ("seconds", "aspect_ratio", "shown"),
    [
        (1, 1, [0, 1, 2, 3, 4]),
        (3, 1, [0, 2, 4, 6, 8, 10, 12]),
        (3, 0.5, list(range(15))),
        (10, 1, [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]),
        (10, 16 / 9, [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]),
        (30, 1, [0, 25, 50, 75, 100, 125]),
        (33, 1, [0, 25, 50, 75, 100, 125]),  # one from 30 s on would reach beyond the end
    ],
)
def test_as_many_frames_as_fit_lie_at_their_times(seconds, aspect_ratio, shown):
    axis = draw_inputs("a", 2, 2 + seconds, None, strip(seconds, aspect_ratio)).axes[0]
    assert [int(np.asarray(image.get_array())[0, 0, 0]) for image in axis.images] == shown
    starts = [left for left, _, _, _ in extents(axis)]
    np.testing.assert_allclose(starts, [2 + number / 5 for number in shown])
    ends = [right for _, right, _, _ in extents(axis)]
    assert all(end < start for end, start in zip(ends, starts[1:], strict=False))
    assert ends[-1] <= 2 + seconds


@pytest.mark.parametrize("aspect_ratio", [9 / 16, 1, 16 / 9, 3])
@pytest.mark.parametrize("seconds", [1, 10, 100])
def test_thumbnails_have_the_videos_proportions(aspect_ratio, seconds):
    figure = draw_inputs("a", 0, seconds, spectrograms(seconds), strip(seconds, aspect_ratio))
    axis = figure.axes[3]
    left, right, _, _ = extents(axis)[0]
    box = axis.get_window_extent()
    width = box.width * (right - left) / seconds
    assert width / box.height == pytest.approx(aspect_ratio)
    assert 60 <= width <= box.width
    assert axis.get_window_extent().x0 == figure.axes[0].get_window_extent().x0
    assert axis.get_window_extent().x1 == figure.axes[0].get_window_extent().x1


def test_what_no_window_covers_is_hatched():
    figure = draw_inputs("a", 0, 3.4, spectrograms(3), strip(3))
    for axis in figure.axes[:4]:
        (hatched,) = [patch for patch in axis.patches if patch.get_hatch()]
        assert (hatched.get_x(), hatched.get_width()) == (3, pytest.approx(0.4))
        assert axis.get_xlim() == (0, 3.4)
    assert any("hatched" in text.get_text() for text in figure.texts)
    whole = draw_inputs("a", 0, 3, spectrograms(3), strip(3))
    assert not any(patch.get_hatch() for axis in whole.axes for patch in axis.patches)
    assert not any("hatched" in text.get_text() for text in whole.texts)


@pytest.mark.parametrize(
    ("channels", "with_frames", "end"), [(3, True, 3.4), (3, False, 3), (1, True, 3), (1, False, 3), (0, True, 3)]
)
def test_texts_neither_overlap_nor_leave_the_figure(channels, with_frames, end):
    title = "a $strange_ name\n" + 20 * "longer "
    figure = draw_inputs(
        title, 0, end, spectrograms(3, channels) if channels else None, strip() if with_frames else None
    )
    assert len(figure.texts[0].get_text()) <= LONGEST_TITLE + 1
    FigureCanvasAgg(figure).draw()
    width, height = figure.canvas.get_width_height()
    assert width == 10 * DPI
    texts = [text for text in figure.findobj(lambda artist: hasattr(artist, "get_text")) if text.get_visible()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    for number, (text, box) in enumerate(boxes):
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= width, text
        assert box.y1 <= height, text
        assert not [other for other, its in boxes[:number] if its.overlaps(box)], text
