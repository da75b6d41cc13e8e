import pytest
import torch

from sedcrnn.errors import ConfigError
from sedcrnn.networks.freezing import freeze, frozen_modules


def test_names_are_resolved_in_order(small_network):
    parts = frozen_modules(small_network, ["visual.encoder", "audio"])
    assert parts[0] is small_network.visual.encoder
    assert parts[1] is small_network.audio
    assert frozen_modules(small_network, []) == []


@pytest.mark.parametrize(
    ("name", "nearest"), [("visaul", "'visual'"), ("audio.block", "'audio.blocks'"), ("", "'audio'")]
)
def test_a_misspelt_name_is_refused_with_the_nearest(small_network, name, nearest):
    with pytest.raises(ConfigError, match=f"no part '{name}'.*{nearest}"):
        frozen_modules(small_network, [name])


def test_a_frozen_part_is_in_evaluation_mode_and_its_siblings_are_not(small_network):
    freeze(small_network.visual)
    assert not any(module.training for module in small_network.visual.modules())
    assert all(module.training for module in small_network.audio.modules())


def test_frozen_parts_get_no_gradient_and_the_rest_does(small_network, one_second):
    for part in frozen_modules(small_network, ["audio", "visual"]):
        freeze(part)
    small_network(**one_second).square().sum().backward()
    trained = {name for name, parameter in small_network.named_parameters() if parameter.grad is not None}
    assert trained == {name for name, _ in small_network.named_parameters() if name.startswith(("early", "late"))}


def test_frozen_statistics_stay_while_the_parent_trains(small_network, one_second):
    frozen = frozen_modules(small_network, ["audio"])
    for part in frozen:
        freeze(part)
    small_network.train()
    for part in frozen:
        part.eval()  # what the LightningModule does after each train()
    before = {name: values.clone() for name, values in small_network.state_dict().items()}
    small_network(**one_second)
    moved = {name for name, values in small_network.state_dict().items() if not torch.equal(values, before[name])}
    assert "visual.encoder.backbone.bn1.running_mean" in moved  # not frozen
    assert not any(name.startswith("audio.") for name in moved)
