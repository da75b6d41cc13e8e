import numpy as np
import pytest
import torch

from sedcrnn.augmentation import Augmentation, uniform
from sedcrnn.augmentation.spectrogram_augmentation import SpectrogramAugmentation
from sedcrnn.errors import ConfigError
from sedcrnn.features.filterbanks.gammatone_recursive import RecursiveGammatone
from sedcrnn.features.spectrogram import Spectrogram

WINDOW = torch.arange(3 * 8 * 10, dtype=torch.float32).reshape(3, 8, 10) / 10 - 80


def test_everything_is_off_by_default():
    assert torch.equal(SpectrogramAugmentation()(WINDOW, 1), WINDOW)
    assert not SpectrogramAugmentation(band_mask_width=3, column_mask_width=3).active
    for on in ({"gain": 1.0}, {"swap": 0.1}, {"band_masks": 1}, {"column_masks": 1}):
        assert SpectrogramAugmentation(**on).active


def test_the_draw_alone_decides_and_the_global_generator_is_given_back():
    augment = SpectrogramAugmentation(gain=6, swap=0.5, band_masks=1, column_masks=1, column_mask_width=4)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first = augment(WINDOW, 12345)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(augment(WINDOW, 12345), first)
    assert not torch.equal(augment(WINDOW, 12346), first)
    assert torch.equal(augment(WINDOW, 2**64 - 1), augment(WINDOW, 2**64 - 1))  # draws have 64 bits
    assert torch.equal(WINDOW, torch.arange(240, dtype=torch.float32).reshape(3, 8, 10) / 10 - 80)  # untouched


def test_gains_move_channels_each_by_itself_within_their_limit():
    augment = SpectrogramAugmentation(gain=6)
    moved = torch.stack([augment(WINDOW, draw) - WINDOW for draw in range(300)])
    gains = moved[:, :, 0, 0]
    torch.testing.assert_close(moved, gains[..., None, None].expand_as(moved), atol=1e-4, rtol=0)
    assert gains.abs().max() <= 6
    assert gains.min() < -5.5 < 5.5 < gains.max()
    assert gains.mean(0).abs().max() < 0.6
    assert torch.corrcoef(gains.T)[0, 1].abs() < 0.2


def test_a_silent_channel_stays_silent():
    window = WINDOW.clone()
    window[2] = -140
    assert (SpectrogramAugmentation(gain=20)(window, 3)[2] == -140).all()


def test_left_and_right_change_places_as_often_as_asked():
    swapped = WINDOW[[1, 0, 2]]
    outcomes = [SpectrogramAugmentation(swap=0.3)(WINDOW, draw) for draw in range(400)]
    assert all(torch.equal(one, WINDOW) or torch.equal(one, swapped) for one in outcomes)
    share = sum(torch.equal(one, swapped) for one in outcomes) / 400
    assert share == pytest.approx(0.3, abs=0.07)
    assert torch.equal(SpectrogramAugmentation(swap=1)(WINDOW, 0), swapped)


@pytest.mark.parametrize(("what", "axis", "width"), [("band", 1, 3), ("column", 2, 4)])
def test_masks_are_runs_of_the_mean_alike_in_all_channels(what, axis, width):
    augment = SpectrogramAugmentation(**{f"{what}_masks": 1, f"{what}_mask_width": width})
    lengths = []
    for draw in range(300):
        masked = augment(WINDOW, draw) != WINDOW
        hit = masked.all(0).all(2 - axis)  # bands (or columns) that are masked in every channel
        assert masked.sum() == hit.sum() * WINDOW[0].numel() / WINDOW.shape[axis] * 3
        places = hit.nonzero().flatten().tolist()
        assert places == list(range(places[0], places[0] + len(places))) if places else True
        lengths.append(len(places))
        if places:
            assert augment(WINDOW, draw)[masked].unique().tolist() == [pytest.approx(WINDOW.mean().item())]
    assert set(lengths) == set(range(width))


def test_what_has_no_effect_or_does_not_fit_is_refused():
    mono = Spectrogram(bank=RecursiveGammatone(), channels="mono")
    with pytest.raises(ConfigError, match=r"swaps left and right.*mid, which do not change"):
        SpectrogramAugmentation(swap=0.5).check(mono)
    with pytest.raises(ConfigError, match=r"band_mask_width=65.*64 bands"):
        SpectrogramAugmentation(band_masks=1, band_mask_width=65).check(mono)
    with pytest.raises(ConfigError, match=r"column_mask_width=51.*50 columns"):
        SpectrogramAugmentation(column_masks=1, column_mask_width=51).check(mono)
    SpectrogramAugmentation(band_mask_width=65).check(mono)  # off
    SpectrogramAugmentation(swap=0.5).check(Spectrogram(bank=RecursiveGammatone(), channels="left_right"))


def test_many_windows_are_changed_at_once_as_each_by_itself():
    augment = SpectrogramAugmentation(gain=6, swap=0.5, band_masks=2, column_masks=1, band_mask_width=3)
    windows = torch.stack([WINDOW + number for number in range(8)])
    draws = np.arange(8, dtype=np.uint64) + np.uint64(2**64 - 9)
    together = augment.batch(windows, draws)
    torch.testing.assert_close(together, Augmentation.batch(augment, windows, draws))
    assert not torch.equal(together[0] - 0, together[1] - 1)
    permuted = augment.batch(windows.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1), draws)
    torch.testing.assert_close(permuted, together)  # however the windows lie in memory


def test_numbers_are_uniform_and_follow_from_the_draw_alone():
    draws = np.arange(4000, dtype=np.uint64)
    numbers = uniform(draws, 5)
    assert numbers.shape == (4000, 5)
    assert 0 <= numbers.min() < numbers.max() < 1
    assert np.abs(numbers.mean(0) - 0.5).max() < 0.02
    assert np.abs(np.corrcoef(numbers.T) - np.eye(5)).max() < 0.06
    assert np.array_equal(uniform(draws[[7, 3]], 5), numbers[[7, 3]])
    assert np.array_equal(uniform(draws, 2), numbers[:, :2])
