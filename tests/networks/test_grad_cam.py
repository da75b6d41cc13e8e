"""Heat maps find the place on which an answer depends, and are the published formulas."""

from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sedcrnn.errors import ConfigError
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.audio import AudioNetwork
from sedcrnn.networks.audio_encoder import AudioEncoderNetwork
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.grad_cam import heat_maps
from sedcrnn.networks.visual import VisualNetwork


class ColourNetwork(SceneNetwork):
    """Red or green: a layer that passes colours on, and how much of each there is."""

    kind, inputs, head_names, scenes = "colour", ("frames",), ("colour",), 2
    last_maps: ClassVar = {"frames": "colours"}

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Conv2d(3, 2, 1, bias=False)
        with torch.no_grad():
            self.colours.weight.copy_(torch.eye(3)[:2, :, None, None] / 255)

    def heads(self, frames, present=None):
        maps = self.colours(frames.flatten(0, 1).float())
        return {"colour": maps.unflatten(0, frames.shape[:2]).mean((1, 3, 4))}


def test_a_network_of_ones_own_looks_at_the_red_square():
    frames = torch.zeros(2, 5, 3, 8, 6)
    frames[0, 2, 0, 1:4, 2:5] = 255  # red, in one frame
    frames[1, :, 1] = 255  # all green
    network = ColourNetwork().eval()
    heat = heat_maps(network, network.heads, {"frames": frames}, "colour", 0)["frames"]
    expected = torch.zeros(2, 5, 8, 6)
    expected[0, 2, 1:4, 2:5] = 1
    torch.testing.assert_close(heat, expected)
    green = heat_maps(network, network.heads, {"frames": frames}, "colour", 1)["frames"]
    torch.testing.assert_close(green, torch.stack([torch.zeros(5, 8, 6), torch.ones(5, 8, 6)]))


def test_what_is_not_the_largest_stays_cold_under_the_maximum():
    """The answer would be the same without the dim square, at which the mean gradient of Grad-CAM would point."""

    class LargestRed(ColourNetwork):
        def heads(self, frames, present=None):
            maps = self.colours(frames.flatten(0, 1).float())
            return {"colour": maps.unflatten(0, frames.shape[:2]).amax((3, 4)).mean(1)}

    frames = torch.zeros(1, 5, 3, 8, 6)
    frames[:, :, 0, 1, 2] = 255
    frames[:, :, 0, 4:8, 3:6] = 200
    network = LargestRed().eval()
    heat = heat_maps(network, network.heads, {"frames": frames}, "colour", 0)["frames"]
    expected = torch.zeros(1, 5, 8, 6)
    expected[:, :, 1, 2] = 1
    torch.testing.assert_close(heat, expected)


def test_under_the_mean_it_is_grad_cam(one_second):
    torch.manual_seed(0)
    network = VisualNetwork(4, "test_resnet", "average", "imagenet", 64, 64, temporal="mean").eval()
    frames = F.interpolate(one_second["frames"].flatten(0, 1).float(), 64).unflatten(0, (3, 5))
    held = []
    hook = network.encoder.last.register_forward_hook(lambda _, __, output: held.append(output))
    with torch.no_grad():
        logits = network.heads(frames)["visual"]
    hook.remove()
    maps, weight = held[0], network.dense.weight.detach()
    hottest = 0.0
    for scene in range(4):
        # The slope of the log-odds by the embedding is that of the log-probability but for a factor.
        slope = weight[scene] - logits.exp() @ weight  # (batch, feature)
        heat = F.relu(torch.einsum("bf,btfij->btij", slope, maps.unflatten(0, (3, 5))))
        heat = F.interpolate(heat, (64, 64), mode="bilinear", align_corners=False)
        heat /= heat.flatten(1).amax(1).clamp_min(1e-30)[:, None, None, None]
        found = heat_maps(network, network.heads, {"frames": frames}, "visual", scene)["frames"]
        torch.testing.assert_close(found, heat, rtol=1e-3, atol=1e-4)
        hottest = max(hottest, float(heat.max()))
    assert hottest == 1


def test_a_trained_audio_network_looks_at_the_band_that_names_the_scene():
    """Scene 1 has a tone in the lower bands, in a third of the time, and scene 0 has none; all else is noise."""
    torch.manual_seed(0)
    network = AudioNetwork(scenes=2, channels=1, filters=(8, 8), frame_pooling=(1, 1), momentum=0.3)
    generator = torch.Generator().manual_seed(0)

    def draw(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        scenes = torch.arange(number) % 2
        values = torch.rand(number, 1, 32, 30, generator=generator) - 1
        values[scenes == 1, :, 22:27, 10:20] += 1
        return values, scenes

    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(40):
        values, scenes = draw(16)
        loss = F.cross_entropy(network(values), scenes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    values, scenes = draw(8)
    assert network(values).argmax(1).equal(scenes)
    heat = heat_maps(network, network.heads, {"spectrogram": values}, "audio", 1)["spectrogram"][scenes == 1]
    inside = heat[:, 20:29, 8:22].sum() / heat.sum()
    assert inside > 0.7  # whatever the number of threads; of 13 % of the places
    assert torch.equal(heat.flatten(1).amax(1), torch.ones(4))


def test_an_input_that_a_head_does_not_look_at_stays_cold(one_second, small_network):
    network = small_network.eval()
    heat = heat_maps(network, network.heads, one_second, "audio", 1)
    assert heat["spectrogram"].shape == (3, 8, 50)
    assert heat["frames"].shape == (3, 5, 32, 32)
    assert heat["spectrogram"].max() == 1
    assert heat["frames"].max() == 0
    both = heat_maps(network, network.heads, one_second, "early", 1)
    assert both["frames"].max() == 1
    alone = heat_maps(network, network.audio.heads, {"spectrogram": one_second["spectrogram"]}, "audio", 1)
    torch.testing.assert_close(alone["spectrogram"], heat["spectrogram"])


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_convolutions_and_transformers_for_audio_have_a_last_map(one_second, backbone):
    torch.manual_seed(0)
    network = AudioEncoderNetwork(4, bands=8, backbone=backbone, image_height=64, image_width=160).eval()
    heats = [
        heat_maps(network, network.heads, {"spectrogram": one_second["spectrogram"]}, "audio", scene)["spectrogram"]
        for scene in range(4)
    ]
    assert heats[0].shape == (3, 8, 50)
    assert max(heat.max() for heat in heats) == 1


def test_tokens_that_lie_on_no_grid_are_refused_in_words():
    network = VisualNetwork(4, "levit_128s", "average", "imagenet", 224, 224).eval()
    assert not network.encoder.on_a_grid
    frames = torch.zeros(1, 5, 3, 224, 224)
    assert network(frames).shape == (1, 4)
    message = r"'levit_128s', which looks at the frames, has no last map of rows.*convolutional.*reasons=true"
    with pytest.raises(ConfigError, match=message):
        heat_maps(network, network.heads, {"frames": frames}, "visual", 0)
    assert VisualNetwork(4, "test_vit", "average", "imagenet", 64, 64).encoder.on_a_grid


def test_it_changes_no_answer_and_leaves_no_gradients(one_second, small_network):
    network = small_network.eval()
    with torch.no_grad():
        before = network(**one_second)
    heat_maps(network, network.heads, one_second, "late", 0)
    assert all(parameter.grad is None for parameter in network.parameters())
    with torch.no_grad():
        assert network(**one_second).equal(before)


def test_in_a_fusion_network_parts_keep_their_maps():
    audio = AudioEncoderNetwork(4, bands=8, backbone="test_vit", image_height=64, image_width=80)
    network = FusionNetwork(audio, VisualNetwork(4, "test_resnet"))
    assert network.last_maps == {"spectrogram": "audio.encoder", "frames": "visual.encoder"}
