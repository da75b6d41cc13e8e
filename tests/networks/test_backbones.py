import math

import pytest
import timm
import torch

from sedcrnn.errors import ConfigError
from sedcrnn.networks.backbones import FrameEncoder
from sedcrnn.networks.summary import count_parameters

VGG16_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def seen_by_backbone(normalisation, frames):
    """The images that an encoder hands to its backbone."""
    encoder = FrameEncoder("resnet18", normalisation=normalisation).eval()
    seen = []
    encoder.backbone.conv1.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    encoder(frames)
    return seen[0]


@pytest.fixture
def frames():
    return torch.randint(0, 256, (2, 3, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_vgg16_is_its_convolutional_part(paper_network):
    encoder = paper_network.visual.encoder
    assert count_parameters(encoder).total == 14_714_688
    assert encoder.embedding == 512
    expected = {f"features.{index}.{kind}" for index in VGG16_CONVOLUTIONS for kind in ("weight", "bias")}
    assert set(encoder.backbone.state_dict()) == expected
    assert set(encoder.state_dict()) == {f"backbone.{name}" for name in expected}  # no mean, no std


def test_vgg16_starts_by_hes_rule(paper_network):
    for index in VGG16_CONVOLUTIONS:
        convolution = paper_network.visual.encoder.backbone.features[index]
        deviation = math.sqrt(2 / (9 * convolution.out_channels))
        assert convolution.weight.std().item() == pytest.approx(deviation, rel=0.05)
        assert not convolution.bias.any()


def test_raw_frames_arrive_untouched(frames):
    torch.testing.assert_close(seen_by_backbone("raw", frames), frames.flatten(0, 1).float(), atol=0, rtol=0)


def test_places365_takes_bgr_less_its_mean(frames):
    red, green, blue = frames.flatten(0, 1).float().unbind(1)
    expected = torch.stack([blue - 104.0510, green - 112.5145, red - 116.6760], dim=1)
    torch.testing.assert_close(seen_by_backbone("places365", frames), expected)


def test_imagenet_scales_to_unit_deviation(frames):
    red, green, blue = (frames.flatten(0, 1).float() / 255).unbind(1)
    expected = torch.stack([(red - 0.485) / 0.229, (green - 0.456) / 0.224, (blue - 0.406) / 0.225], dim=1)
    torch.testing.assert_close(seen_by_backbone("imagenet", frames), expected)


def test_float_frames_are_not_scaled(frames):
    mixed = 0.25 * frames + 0.5
    expected = mixed.flatten(0, 1).flip(1) - torch.tensor([104.0510, 112.5145, 116.6760]).view(3, 1, 1)
    torch.testing.assert_close(seen_by_backbone("places365", mixed), expected)


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_features_are_the_pooled_map_of_each_frame(frames, pooling):
    encoder = FrameEncoder("resnet18", pooling, "imagenet").eval()
    features = encoder(frames)
    assert features.shape == (2, 3, 512)
    single = encoder(frames[1:2, 2:3])
    torch.testing.assert_close(features[1, 2], single[0, 0], atol=1e-5, rtol=1e-4)
    image = (frames[1, 2] / 255 - encoder.mean / 255) / (encoder.std / 255)
    maps = encoder.backbone.forward_features(image[None])[0].flatten(1)
    expected = maps.max(-1).values if pooling == "max" else maps.mean(-1)
    torch.testing.assert_close(single[0, 0], expected, atol=1e-5, rtol=1e-4)


def test_batch_norm_of_a_fresh_backbone_has_seen_nothing():
    encoder = FrameEncoder("resnet18")
    assert encoder.training
    assert encoder.backbone.bn1.training
    assert encoder.backbone.bn1.num_batches_tracked == 0


def test_layers_behind_the_last_map_are_dropped():
    whole = timm.create_model("mobilenetv3_small_100", pretrained=False, num_classes=0)
    encoder = FrameEncoder("mobilenetv3_small_100")
    behind = count_parameters(whole.conv_head).total + count_parameters(whole.norm_head).total
    assert behind > 0
    assert count_parameters(encoder).total == count_parameters(whole).total - behind
    assert encoder.embedding == 576


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "vgg61"}, "no architecture 'vgg61'.*'vgg16'"),
        ({"name": "vgg16.tv_in1k"}, "no architecture 'vgg16.tv_in1k'.*'vgg16'"),
        ({"name": "vit_tiny_patch16_224"}, "plain CNN"),
        ({"pooling": "maximum"}, "frame pooling is 'maximum'.*nearest is 'max'"),
        ({"normalisation": "places356"}, "normalisation is 'places356'.*nearest is 'places365'"),
    ],
)
def test_misspelt_choices_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        FrameEncoder(**arguments)


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (2, 5, 1, 32, 32), (2, 5, 32, 32, 3)])
def test_frames_of_another_shape_are_refused(shape):
    with pytest.raises(ConfigError, match=r"\(batch, time, channel, height, width\)"):
        FrameEncoder("resnet18")(torch.zeros(shape))
