import numpy as np
import pytest

from sedcrnn.features.filterbanks import LAYOUTS, mixed, pieces
from sedcrnn.features.filterbanks.gammatone import windowed


def blocks(samples, size):
    waveform = np.tile(np.arange(1.0, samples + 1), (2, 1))
    return [waveform[:, start : start + size] for start in range(0, samples, size)]


@pytest.mark.parametrize("size", [1, 3, 5, 10, 11])
def test_pieces_overlap_and_begin_with_zeros(size):
    cut = [piece[0].tolist() for piece, _ in pieces(blocks(11, size), size=6, step=4, lead=1)]
    assert cut == [[0, 1, 2, 3, 4, 5], [4, 5, 6, 7, 8, 9], [8, 9, 10, 11]]


def test_a_stream_without_samples_has_no_pieces():
    assert list(pieces([], 6, 4, 1)) == []
    assert list(pieces([np.zeros((2, 0))], 6, 4, 1)) == []


def test_every_sample_is_in_the_own_part_of_one_piece():
    for samples in range(1, 30):
        own = [piece[0, 2:6] for piece, _ in pieces(blocks(samples, 7), size=9, step=4, lead=2)]
        own_samples = np.concatenate(own)
        assert own_samples[own_samples > 0].tolist() == list(range(1, samples + 1))


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_windows_reach_over_blocks(hops):
    stream = [np.array([[1.0, 2, 3]]), np.array([[4.0]]), np.zeros((1, 0)), np.array([[5.0, 6]])]
    sums = np.concatenate(list(windowed(stream, hops)), axis=-1)[0]
    assert sums.tolist() == [sum(range(first, first + hops)) for first in range(1, 8 - hops)]


def test_pieces_come_with_the_length_of_what_has_been_read():
    assert [length for _, length in pieces(blocks(11, 4), size=4, step=4, lead=0)] == [4, 8, 11]
    assert [length for _, length in pieces(blocks(11, 4), size=3, step=2, lead=1)] == [4, 4, 8, 8, 11, 11]


def test_layouts():
    left, right = np.array([0.5, 0.25]), np.array([0.1, 0.75])
    made = {name: mixed(np.stack([left, right]), layout.mix) for name, layout in LAYOUTS.items()}
    np.testing.assert_allclose(made["left_right_difference"], [left, right, left - right])
    np.testing.assert_allclose(made["mid_side"], [[0.3, 0.5], [0.2, -0.25]])
    np.testing.assert_allclose(made["mono"], [[0.3, 0.5]])
    for layout in LAYOUTS.values():  # what RecursiveGammatone counts on
        if len(layout.mix) == 3:
            np.testing.assert_array_equal(layout.mix[2], np.subtract(layout.mix[0], layout.mix[1]))
