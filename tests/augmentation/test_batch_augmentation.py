"""Sound or picture that is missing."""

import torch

from sedcrnn.augmentation.batch_augmentation import MISSING, drop_modalities, without
from sedcrnn.features.spectrogram import scale_windows


def batch(size: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "spectrogram": torch.rand(size, 3, 4, 10, generator=generator),
        "frames": torch.randint(1, 256, (size, 5, 3, 2, 2), generator=generator, dtype=torch.uint8),
    }


def test_missing_audio_is_what_the_front_end_makes_of_silence() -> None:
    silence = torch.full((1, 3, 4, 10), -140.0)
    assert torch.equal(without(batch(1), "spectrogram")["spectrogram"], scale_windows(silence))
    assert MISSING["frames"] == 0


def test_only_the_named_input_of_the_named_examples_is_missing() -> None:
    inputs = batch(3)
    changed = without(inputs, "frames", torch.tensor([False, True, False]))
    assert changed["frames"].dtype == torch.uint8
    assert (changed["frames"][1] == 0).all()
    assert torch.equal(changed["frames"][[0, 2]], inputs["frames"][[0, 2]])
    assert torch.equal(changed["spectrogram"], inputs["spectrogram"])
    assert inputs["frames"].min() > 0  # the batch itself is as it was


def test_modality_dropout_takes_one_or_the_other_as_often_and_never_both() -> None:
    torch.manual_seed(0)
    changed = drop_modalities(batch(4000), 0.3)
    silent = (changed["spectrogram"] == -1).flatten(1).all(1)
    black = (changed["frames"] == 0).flatten(1).all(1)
    assert not (silent & black).any()
    assert abs(silent.float().mean().item() - 0.15) < 0.02
    assert abs(black.float().mean().item() - 0.15) < 0.02
    unchanged = drop_modalities(batch(8), 0.0)
    assert all(torch.equal(unchanged[name], values) for name, values in batch(8).items())


def test_modality_dropout_leaves_what_lacks_a_modality_the_other() -> None:
    torch.manual_seed(0)
    inputs = {"spectrogram": torch.ones(64, 2), "frames": torch.full((64, 2), 9.0)}
    dropped = drop_modalities({**inputs, "present": torch.tensor([[True, False], [True, True]] * 32)}, 1.0)
    for name, values in inputs.items():
        assert torch.equal(dropped[name][::2], values[::2])
    assert all((dropped[name][1::2] != values[1::2]).any() for name, values in inputs.items())
