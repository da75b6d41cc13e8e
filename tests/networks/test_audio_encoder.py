"""Any timm network on spectrograms: what it sees, its steps, its weights, and what it refuses."""

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models import adapt_input_conv

from sedcrnn.errors import ConfigError, WeightsError
from sedcrnn.networks import SceneNetwork
from sedcrnn.networks.audio_encoder import AudioEncoderNetwork, SpectrogramEncoder
from sedcrnn.networks.backbones import build_backbone, last_map
from sedcrnn.networks.execution import checkpoint_encoders, convolutional_parts
from sedcrnn.networks.fusion import FusionNetwork
from sedcrnn.networks.profile import count_parameters
from sedcrnn.networks.visual import VisualNetwork


@pytest.fixture
def spectrogram():
    return torch.rand(2, 3, 64, 50, generator=torch.Generator().manual_seed(0)) * 2 - 1


def network(backbone="test_resnet", **arguments):
    torch.manual_seed(0)
    return AudioEncoderNetwork(scenes=4, backbone=backbone, **arguments).eval()


def seen_by_backbone(encoder, spectrogram):
    """The images that an encoder hands to its backbone."""
    seen = []
    encoder.backbone.forward_features = lambda images: seen.append(images) or torch.zeros(len(images), 96, 4, 5)
    encoder(spectrogram)
    return seen[0]


@torch.no_grad()
def test_it_answers_as_timms_own_layers_on_the_resized_spectrogram(spectrogram):
    made = network()
    images = F.interpolate(spectrogram, (128, 160), mode="bilinear", align_corners=False)
    maps = made.encoder.backbone.forward_features(images)
    assert maps.shape == (2, 96, 4, 5)
    steps = torch.stack([maps[..., column].mean(-1) for column in range(5)], dim=1)
    torch.testing.assert_close(made.encode(spectrogram)["audio_steps"], steps, atol=1e-5, rtol=1e-5)
    expected = steps.mean(1) @ made.dense.weight.T + made.dense.bias
    torch.testing.assert_close(made(spectrogram), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_decoded_values_that_were_encoded_are_the_answer(spectrogram):
    made = network()
    encoded = made.encode(spectrogram)
    assert {name: tuple(values.shape) for name, values in encoded.items()} == {"audio_steps": (2, 5, 96)}
    assert made.embedding == 96
    assert torch.equal(made.decode(**encoded)["audio"], made(spectrogram))
    assert torch.equal(made.heads_of({**encoded, "scene": torch.zeros(2)})["audio"], made(spectrogram))
    assert torch.equal(made.steps(made.embed(spectrogram)), encoded["audio_steps"])


def test_spectrograms_without_a_tag_stay_as_they_are(spectrogram):
    assert torch.equal(seen_by_backbone(SpectrogramEncoder("test_resnet", 3, 64, 50), spectrogram), spectrogram)
    wider = seen_by_backbone(SpectrogramEncoder("test_resnet", 3, 64, 100), spectrogram)
    # Twice as wide: a column is three quarters of the nearest and a quarter of the next.
    inner = 0.75 * spectrogram[..., 7] + 0.25 * spectrogram[..., 8]
    torch.testing.assert_close(wider[..., 15], inner)
    torch.testing.assert_close(wider[..., 0], spectrogram[..., 0])


def test_a_tag_normalises_as_its_weights_need_it(spectrogram):
    same = SpectrogramEncoder("tf_efficientnet_lite0.in1k", 3, 64, 50)  # mean and deviation of a half
    assert torch.equal(same.scale.flatten(), torch.ones(3))
    assert torch.equal(same.shift.flatten(), torch.zeros(3))
    encoder = SpectrogramEncoder("resnet10t.c3_in1k", 3, 64, 50)
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    seen = seen_by_backbone(encoder, spectrogram)
    torch.testing.assert_close(seen, ((spectrogram + 1) / 2 - mean) / std, atol=1e-5, rtol=1e-5)
    mono = seen_by_backbone(SpectrogramEncoder("resnet10t.c3_in1k", 1, 64, 50), spectrogram[:, :1])
    expected = ((spectrogram[:, :1] + 1) / 2 - mean.mean()) / std.mean()
    torch.testing.assert_close(mono, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["test_vit", "test_mambaout", "test_convnext"])
def test_tokens_and_maps_of_any_layout_become_steps(backbone, spectrogram):
    made = network(backbone)
    images = F.interpolate(spectrogram, (128, 160), mode="bilinear", align_corners=False)
    maps = made.encoder.backbone.forward_features(images)
    rows_and_columns = {"test_vit": (8, 10), "test_mambaout": (4, 5), "test_convnext": (4, 5)}[backbone]
    if backbone == "test_vit":  # one class token, then the patches row by row
        expected = torch.stack([maps[:, 1 + column :: 10].mean(1) for column in range(10)], 1)
    elif backbone == "test_mambaout":
        expected = maps.mean(1)
    else:
        expected = maps.mean(2).transpose(1, 2)
    steps = made.encode(spectrogram)["audio_steps"]
    assert steps.shape == (2, rows_and_columns[1], made.embedding)
    torch.testing.assert_close(steps, expected, atol=1e-5, rtol=1e-5)
    assert last_map(made.encoder.backbone, maps).shape == (2, made.embedding, *rows_and_columns)


@torch.no_grad()
def test_the_spectrogram_may_be_left_as_it_is():
    made = network(image_height=None, image_width=None, bands=128, columns=100)
    assert made.encoder.size == (128, 100)
    assert made.encode(torch.zeros(1, 3, 128, 100))["audio_steps"].shape == (1, 4, 96)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_the_first_layer_of_published_weights_is_adapted_to_the_channels_as_timm_does(channels):
    published = build_backbone("test_resnet").state_dict()
    encoder = SpectrogramEncoder("test_resnet.r160_in1k", channels)
    encoder.load_published(published)
    (first,) = [name for name, value in published.items() if value.shape != encoder.backbone.state_dict()[name].shape]
    adapted = encoder.backbone.state_dict()[first]
    assert torch.equal(adapted, adapt_input_conv(channels, published[first]))
    factor = 1 if channels == 1 else 3 / channels
    assert torch.equal(adapted[:, 0], published[first].sum(1) if channels == 1 else factor * published[first][:, 0])
    assert encoder(torch.zeros(1, channels, 64, 50)).shape == (1, 5, 96)


def test_published_weights_go_in_unchanged_and_need_a_tag():
    published = build_backbone("test_resnet").state_dict()
    encoder = SpectrogramEncoder("test_resnet.r160_in1k")
    encoder.load_published(published)
    assert all(torch.equal(encoder.backbone.state_dict()[name], value) for name, value in published.items())
    with pytest.raises(WeightsError, match=r"'test_resnet' does not say whose weights.*<architecture>\.<tag>"):
        SpectrogramEncoder("test_resnet").load_published(published)


def test_it_is_a_part_of_a_fusion_network_that_early_fusion_needs(one_second):
    audio = network(bands=8, columns=50)
    visual = VisualNetwork(scenes=4, backbone="test_resnet", hidden=3)
    fusion = FusionNetwork(audio, visual, hidden=5).eval()
    assert fusion.early.gru.input_size == 96 + 96
    assert fusion.parts_of("early") == [audio.encoder, visual.encoder, fusion.early]
    with torch.no_grad():
        heads = fusion.heads(**one_second)
        steps, frames = audio.embed(one_second["spectrogram"]), visual.embed(one_second["frames"])
        assert torch.equal(heads["audio"], audio(one_second["spectrogram"]))
        assert torch.equal(heads["early"], fusion.early(steps, frames))
    whole, classifiers = count_parameters(fusion.early, audio, visual), (audio.dense, visual.gru, visual.dense)
    assert count_parameters(*fusion.parts_of("early")).total == whole.total - count_parameters(*classifiers).total


def test_early_fusion_says_which_width_gives_its_steps(one_second):
    visual = VisualNetwork(scenes=4, backbone="test_resnet", hidden=3)
    with pytest.raises(
        ConfigError, match=r"gives 7 time steps, for 5 video frames.*image_width of 160.*image_width, or"
    ):
        FusionNetwork(network(image_width=224), visual).eval()(**one_second)
    FusionNetwork(network(image_width=224), visual, early="cross_attention").eval()(**one_second)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"backbone": "inception_v3", "image_height": None, "image_width": None},
            r"'inception_v3' cannot take spectrograms of 64 x 50 pixels.*Its own are 299 x 299.*"
            r"Set the audio network's image_height=299 and image_width=299, or choose another backbone",
        ),
        ({"backbone": "test_vit", "image_width": None}, r"spectrograms of 128 x 50 pixels.*patches of 16 x 16"),
        ({"backbone": "levit_128s"}, "its features lie on no grid of rows and columns"),
        ({"backbone": "resnet10"}, "timm has no architecture 'resnet10'"),
        ({"backbone": "resnet10t.in1k"}, r"timm has no weights 'resnet10t\.in1k'.*'resnet10t\.c3_in1k'"),
    ],
)
def test_what_does_not_fit_is_refused_with_sizes_and_what_to_set(arguments, message):
    with pytest.raises(ConfigError, match=message):
        AudioEncoderNetwork(**arguments)


def test_spectrograms_of_other_channels_are_refused(spectrogram):
    with pytest.raises(ConfigError, match=r"shape \(2, 3, 64, 50\).*with 1 channels"):
        network(channels=1)(spectrogram)


def test_its_encoder_is_compiled_and_recomputed_as_frame_encoders_are(spectrogram):
    made, again = network().train(), network().train()
    assert convolutional_parts(made) == [made.encoder]
    checkpoint_encoders(again)
    gradients = []
    for each in (made, again):
        torch.manual_seed(1)  # of the dropout
        each(spectrogram).square().sum().backward()
        gradients.append([parameter.grad for parameter in each.parameters()])
    assert gradients[0][0].abs().max() > 0
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-6, rtol=1e-4)


def test_layers_behind_the_last_map_are_dropped():
    whole = timm.create_model("mobilenetv3_small_100", pretrained=False, num_classes=0)
    encoder = SpectrogramEncoder("mobilenetv3_small_100")
    assert count_parameters(encoder).total == count_parameters(whole).total - count_parameters(whole.conv_head).total
    assert isinstance(network(), SceneNetwork)
    assert network().kind == "audio"
