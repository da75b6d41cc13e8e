"""Where what frozen parts make of clips cannot be kept, a stage that asks for it is refused with the reason."""

from collections.abc import Callable

import pytest

from sedcrnn.config.stage_config import TrainConfig
from sedcrnn.errors import ConfigError
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.visual import VisualNetwork
from sedcrnn.training.frozen_cache import check_cacheable
from sedcrnn.training.stage import train

Stage = Callable[..., TrainConfig]


@pytest.mark.parametrize(
    ("kind", "override", "reason"),
    [
        ("visual", "recipe.frozen=[]", r"recipe.frozen=\[\] leaves encoder to be trained"),
        ("visual", "recipe.mixup_alpha=0.3", "mixup_alpha=0.3 mixes inputs, in front of the frozen part"),
        ("fusion", "recipe.mixup_alpha=0.3", "mixup_alpha=0.3 mixes inputs, in front of the frozen part"),
        ("fusion", "recipe.frozen=[audio]", "leaves visual to be trained"),
        ("fusion", "recipe.augmentation.spectrogram.gain=6", "augmentation.spectrogram changes inputs"),
        ("visual", "recipe.augmentation.frames.flip=0.5", "augmentation.frames changes inputs"),
    ],
)
def test_a_cache_that_would_not_be_exact_is_refused_with_the_reason(
    stage: Stage, kind: str, override: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        train(stage(kind, override))


def test_an_augmentation_of_what_the_stage_does_not_take_is_no_reason(stage: Stage) -> None:
    config = stage("visual", "recipe.augmentation.spectrogram.gain=6")
    assert config.recipe.augmentation.spectrogram["gain"] == 6
    check_cacheable(config.recipe, VisualNetwork, {})


class OwnNetwork(SceneNetwork):
    kind, inputs, head_names = "own", ("spectrogram", "frames"), ("own",)


def test_networks_of_ones_own_are_refused_where_nothing_can_be_kept(stage: Stage) -> None:
    with pytest.raises(ConfigError, match="OwnNetwork has no part"):
        check_cacheable(stage("fusion").recipe, OwnNetwork, {})
    with pytest.raises(ConfigError, match="OwnNetwork takes spectrogram and frames, and of networks of your own only"):
        check_cacheable(stage("fusion").recipe, type("OwnNetwork", (OwnNetwork,), {"encoding_parts": ("audio",)}), {})
