import math

import pytest
import timm
import torch
from timm.models.vision_transformer import checkpoint_filter_fn

from sedcrnn.errors import ConfigError, WeightsError
from sedcrnn.networks.backbones import FrameEncoder, build_backbone, find_normalisation
from sedcrnn.networks.profile import count_parameters

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
        ({"name": "vgg61.tv_in1k"}, "no architecture 'vgg61'.*'vgg16'"),
        ({"name": "vgg16.tv_in2k"}, "no weights 'vgg16.tv_in2k'.*'vgg16.tv_in1k'"),
        ({"pooling": "model"}, "head of 'vgg16' is two dense layers with 4096 units.*Choose max or average"),
        (
            {"name": "crossvit_tiny_240", "height": 240, "width": 240},
            "'crossvit_tiny_240' cannot take frames of 240 x 240",
        ),
        ({"name": "test_vit", "height": 40}, r"'test_vit' cannot take frames of 40 x 224.*patches of 16.*height=160"),
        ({"name": "test_coatnet", "height": 40, "width": 40}, r"cannot take frames of 40 x 40.*Its own are 160 x 160"),
        (
            {"name": "test_vit", "normalisation": "timm"},
            r"does not say whose weights.*Set backbone=test_vit\.r160_in1k",
        ),
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


def test_timm_tells_the_mean_and_deviation_of_weights(frames):
    half = find_normalisation("timm", "test_resnet.r160_in1k")
    assert (half.mean, half.std, half.bgr) == ((127.5,) * 3, (127.5,) * 3, False)
    assert find_normalisation("timm", "vgg16.tv_in1k") == find_normalisation("imagenet", "vgg16")
    encoder = FrameEncoder("test_resnet.r160_in1k", normalisation="timm")
    seen = []
    encoder.backbone.conv1.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    encoder(frames)
    torch.testing.assert_close(seen[0], frames.flatten(0, 1) / 127.5 - 1)


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["max", "average", "model"])
@pytest.mark.parametrize(
    ("name", "channel"),
    [("test_vit", -1), ("test_vit3", -1), ("test_mambaout", -1), ("test_convnext", 1), ("test_efficientnet", 1)],
)
def test_tokens_and_maps_of_any_layout_are_pooled_over_their_places(frames, name, channel, pooling):
    encoder = FrameEncoder(name, pooling, "imagenet", 32, 32).eval()
    images = (frames.flatten(0, 1) - encoder.mean) / encoder.std
    maps = encoder.backbone.forward_features(images)
    if pooling == "model":
        expected = encoder.backbone.forward_head(maps, pre_logits=True)
    else:
        prefix = {"test_vit": 1, "test_vit3": 1}.get(name, 0)  # a class token and a register
        places = maps.movedim(channel, -1).flatten(1, -2)[:, prefix:]
        assert places.shape[1] == {"test_vit": 4, "test_vit3": 4}.get(name, 1)
        expected = places.amax(1) if pooling == "max" else places.sum(1) / places.shape[1]
    features = encoder(frames)
    assert features.shape == (2, 3, encoder.embedding)
    torch.testing.assert_close(features.flatten(0, 1), expected, atol=1e-5, rtol=1e-4)


def test_transformers_are_built_for_the_size_of_the_frames():
    encoder = FrameEncoder("test_vit", "average", "raw", height=32, width=48)
    assert encoder.backbone.pos_embed.shape == (1, 1 + 2 * 3, 64)
    assert encoder(torch.zeros(1, 2, 3, 32, 48)).shape == (1, 2, 64)
    assert build_backbone("test_vit").pos_embed.shape == (1, 1 + 10 * 10, 64)


def test_published_positions_are_interpolated_as_timm_does():
    published = build_backbone("test_vit", "model").state_dict()
    encoder = FrameEncoder("test_vit", "model", "raw", height=64, width=64)
    encoder.load_published(published)
    expected = checkpoint_filter_fn(dict(published), encoder.backbone)
    assert encoder.backbone.pos_embed.shape == (1, 17, 64)
    for name, value in encoder.backbone.state_dict().items():
        torch.testing.assert_close(value, expected[name], atol=0, rtol=0)


def test_published_weights_that_do_not_suffice_are_refused():
    maps_alone = build_backbone("test_convnext", "max").state_dict()
    FrameEncoder("test_convnext", "average", "raw", 32, 32).load_published(maps_alone)
    with pytest.raises(
        WeightsError, match=r"lack head\.norm\.bias, head\.norm\.weight, which the pooling 'model' needs"
    ):
        FrameEncoder("test_convnext", "model", "raw", 32, 32).load_published(maps_alone)
    with pytest.raises(WeightsError, match=r"instead of .*height=160 features\.frames\.width=160"):
        FrameEncoder("test_coatnet", "max", "raw", 64, 64).load_published(build_backbone("test_coatnet").state_dict())


def test_the_same_frame_has_the_same_features_in_any_batch(frames):
    encoder = FrameEncoder("test_vit", "model", "imagenet", 32, 32).eval()
    with torch.no_grad():
        torch.testing.assert_close(encoder(frames)[1, 2], encoder(frames[1:, 2:])[0, 0], atol=1e-5, rtol=1e-4)
