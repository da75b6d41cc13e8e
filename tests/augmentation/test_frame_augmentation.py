import pytest
import torch

from sedcrnn.augmentation.frame_augmentation import FrameAugmentation
from sedcrnn.augmentation.spectrogram_augmentation import SpectrogramAugmentation

# Five alike frames, in which no two pixels are alike.
FRAMES = torch.arange(192, dtype=torch.uint8).reshape(3, 8, 8).expand(5, -1, -1, -1).contiguous()
EVERYTHING = {
    "flip": 0.5,
    "crop": 0.5,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.1,
    "rand_augment": 2,
    "erase": 0.5,
}


def test_everything_is_off_by_default():
    assert not FrameAugmentation(rand_augment_magnitude=3, crop_ratio=2).active
    assert torch.equal(FrameAugmentation()(FRAMES, 1), FRAMES)
    for name, value in EVERYTHING.items():
        assert FrameAugmentation(**{name: value}).active


@pytest.mark.parametrize("name", [*EVERYTHING, "all"])
def test_all_frames_of_a_window_change_alike_and_the_draw_alone_decides(name):
    augment = FrameAugmentation(**(EVERYTHING if name == "all" else {name: EVERYTHING[name]}))
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    outcomes = [augment(FRAMES, draw) for draw in range(12)]
    assert torch.equal(torch.rand(3), expected)  # the global generator is given back
    for draw, outcome in enumerate(outcomes):
        assert outcome.shape == FRAMES.shape
        assert outcome.dtype == torch.uint8
        assert (outcome == outcome[:1]).all()
        assert torch.equal(augment(FRAMES, draw), outcome)
    assert len({outcome.numpy().tobytes() for outcome in outcomes}) > 1
    assert torch.equal(FRAMES[0].flatten(), torch.arange(192, dtype=torch.uint8))  # untouched


def test_frames_are_mirrored_as_often_as_asked():
    outcomes = [FrameAugmentation(flip=0.3)(FRAMES, draw) for draw in range(400)]
    mirrored = [torch.equal(one, FRAMES.flip(-1)) for one in outcomes]
    assert all(flipped or torch.equal(one, FRAMES) for one, flipped in zip(outcomes, mirrored, strict=True))
    assert sum(mirrored) / 400 == pytest.approx(0.3, abs=0.07)


def test_a_crop_keeps_the_share_of_the_area_that_it_is_allowed():
    ramp = torch.arange(64, dtype=torch.uint8).mul(4).expand(2, 3, 64, 64).contiguous()  # brightness is the column
    augment = FrameAugmentation(crop=0.25)
    widths = []
    for draw in range(100):
        columns = augment(ramp, draw)[0, 0, 0].float()
        widths.append((columns[-1] - columns[0]).item() / (4 * 63))
    assert 0.45 < min(widths) < 0.6  # half the width, and height, is a quarter of the area
    assert 0.9 < max(widths) <= 1


def test_a_crop_keeps_its_shape_unless_another_is_allowed():
    ramp = torch.arange(64, dtype=torch.uint8).mul(4).expand(2, 3, 64, 64)
    grid = torch.stack([ramp[:, 0], ramp[:, 0].mT, ramp[:, 0]], dim=1).contiguous()  # red: column; green: row

    def shapes(ratio):
        crops = [FrameAugmentation(crop=0.2, crop_ratio=ratio)(grid, draw)[0].float() for draw in range(60)]
        return [((one[0, 0, -1] - one[0, 0, 0]) / (one[1, -1, 0] - one[1, 0, 0])).item() for one in crops]

    assert shapes(1) == pytest.approx([1] * 60, abs=0.08)
    assert 0.45 < min(shapes(2)) < 0.75
    assert 1.35 < max(shapes(2)) < 2.2


def test_brightness_is_a_factor_within_its_limit():
    grey = torch.full((5, 3, 4, 4), 100, dtype=torch.uint8)
    levels = {FrameAugmentation(brightness=0.2)(grey, draw).unique().item() for draw in range(200)}
    assert 80 <= min(levels) < 84
    assert 116 < max(levels) <= 120


def test_erasing_turns_one_rectangle_black():
    white = torch.full((2, 3, 32, 32), 255, dtype=torch.uint8)
    for draw in range(20):
        black = FrameAugmentation(erase=1)(white, draw)[0, 0] == 0
        rows, columns = black.any(1), black.any(0)
        assert black.sum() == rows.sum() * columns.sum()
        assert 0.01 < black.float().mean().item() < 0.35


def test_video_and_audio_draw_independently():
    sound = torch.arange(3 * 2 * 2, dtype=torch.float32).reshape(3, 2, 2)
    flipped = [not torch.equal(FrameAugmentation(flip=0.5)(FRAMES, draw), FRAMES) for draw in range(200)]
    swapped = [not torch.equal(SpectrogramAugmentation(swap=0.5)(sound, draw), sound) for draw in range(200)]
    agree = sum(one == other for one, other in zip(flipped, swapped, strict=True)) / 200
    assert agree == pytest.approx(0.5, abs=0.12)
