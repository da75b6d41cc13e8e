import hashlib

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sedcrnn.errors import ConfigError, WeightsError
from sedcrnn.networks.backbones import FrameEncoder, build_backbone
from sedcrnn.pretrained.encoder_weights import convert, load_encoder_weights
from sedcrnn.pretrained.origins import ORIGINS, identify

KINDS = ["caffe", "keras", "keras notop", "keras model", "torch", "torch checkpoint", "safetensors"]


def converted(path, backbone="vgg16", trained_on="places365_caffe"):
    return convert(path, backbone, trained_on, ORIGINS[trained_on])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_same_numbers(files, timm_state, kind):
    weights = converted(files[kind])
    assert weights.weights.keys() == timm_state.keys()
    assert all(torch.equal(weights.weights[name], value) for name, value in timm_state.items())
    assert weights.md5 == hashlib.md5(files[kind].read_bytes()).hexdigest()
    assert (weights.backbone, weights.normalisation, weights.source) == ("vgg16", "places365", files[kind].name)


def convolved_by_hand(vgg16, image):
    """VGG16's last map in NumPy: `image` (height, width, RGB) of 0-255, as Caffe's Places365 networks take it."""
    maps = image[..., ::-1].astype(np.float64) - np.array([104.0510, 112.5145, 116.6760])
    for (block, number), (kernel, bias) in vgg16.items():
        if number == 1 and block > 1:
            height, width, channels = maps.shape
            maps = maps.reshape(height // 2, 2, width // 2, 2, channels).max((1, 3))
        padded = np.pad(maps, ((1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))  # height, width, in, 3, 3
        maps = np.maximum(np.tensordot(windows, kernel.astype(np.float64), ([2, 3, 4], [1, 2, 3])) + bias, 0)
    height, width, channels = maps.shape
    return maps.reshape(height // 2, 2, width // 2, 2, channels).max((1, 3))


@pytest.mark.parametrize("kind", ["caffe", "keras"])
def test_a_converted_network_sees_an_image_as_numpy_does(files, vgg16, kind):
    image = np.random.default_rng(1).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    weights = converted(files[kind])
    encoder = FrameEncoder("vgg16", "max", weights.normalisation).eval()
    encoder.backbone.load_state_dict(weights.weights)
    with torch.no_grad():
        given = encoder(torch.from_numpy(image).permute(2, 0, 1)[None, None])[0, 0]
    expected = convolved_by_hand(vgg16, image).max((0, 1))
    assert expected.std() > 10
    np.testing.assert_allclose(given.numpy(), expected, rtol=1e-3, atol=1e-3 * expected.max())
    # the test would see a wrong channel order
    assert np.abs(convolved_by_hand(vgg16, image[..., ::-1]).max((0, 1)) - expected).max() > 0.05 * expected.max()


def test_the_converted_file_says_what_it_holds(files, timm_state, tmp_path):
    weights = converted(files["caffe"])
    weights.save(tmp_path / "vgg16.safetensors")
    loaded = load_encoder_weights(tmp_path / "vgg16.safetensors")
    assert loaded.digest == weights.digest
    assert (loaded.backbone, loaded.trained_on, loaded.normalisation) == ("vgg16", "places365_caffe", "places365")
    assert loaded.licence == weights.licence
    assert loaded.licence.startswith("CC BY")
    assert all(torch.equal(loaded.weights[name], value) for name, value in timm_state.items())
    with safe_open(tmp_path / "vgg16.safetensors", "pt") as file:
        metadata = file.metadata()
    assert (metadata["channel_order"], metadata["mean"]) == ("BGR", "104.051 112.5145 116.676")
    assert (metadata["source"], metadata["md5"]) == ("vgg16.caffemodel", weights.md5)


def test_other_networks_are_taken_from_state_dicts_also_without_batch_counters(tmp_path):
    state = build_backbone("test_resnet").state_dict()
    kept = {name: value.half() for name, value in state.items() if not name.endswith("num_batches_tracked")}
    # names as Python 2 leaves them
    torch.save({b"state_dict": {name.encode(): value for name, value in kept.items()}}, tmp_path / "old.pth")
    weights = converted(tmp_path / "old.pth", "test_resnet", "imagenet")
    build_backbone("test_resnet").load_state_dict(weights.weights)  # strict
    assert all(torch.equal(weights.weights[name], value.float()) for name, value in kept.items())


def test_an_origin_is_known_by_the_md5_or_said():
    full, notop = "7944d606893ead4c74336c354045d248", "d5f7340fd4cb346f59500788ee97b087"
    assert identify(full, None) == identify(notop, None) == identify(notop, "places365_keras") == "places365_keras"
    assert identify("0" * 32, "imagenet") == "imagenet"
    with pytest.raises(WeightsError, match=r"0{32}, is none of those.*Set trained_on="):
        identify("0" * 32, None)
    with pytest.raises(WeightsError, match=r"published file of 'places365_keras'"):
        identify(notop, "imagenet")


def write_state(path, state):
    torch.save(state, path)
    return path


def test_a_file_of_another_network_is_refused_by_name_and_shape(
    files, vgg16, timm_state, write_caffe, write_keras, caffe_layers, keras_layers, tmp_path
):
    caffe, keras = caffe_layers(vgg16), keras_layers(vgg16)
    few = {name: caffe[name] for name in list(caffe)[:2]}
    with pytest.raises(WeightsError, match=r"lacks conv2_1\.weight, conv2_1\.bias, conv2_2\.weight and 19 more\."):
        converted(write_caffe(tmp_path / "few.caffemodel", few))
    del keras["block1_conv2"]
    with pytest.raises(WeightsError, match=r"it lacks block1_conv2\.weight, block1_conv2\.bias\."):
        converted(write_keras(tmp_path / "gap.h5", keras))
    with pytest.raises(WeightsError, match=r"has, beside them, conv3_4\.weight, conv3_4\.bias\."):
        converted(write_caffe(tmp_path / "vgg19.caffemodel", caffe | {"conv3_4": caffe["conv3_3"]}))
    narrow = timm_state | {"features.5.weight": torch.ones(128, 64, 1, 1)}
    shapes = r"features\.5\.weight is \(128, 64, 1, 1\) instead of \(128, 64, 3, 3\)"
    with pytest.raises(WeightsError, match=shapes):
        converted(write_state(tmp_path / "narrow.pth", narrow))
    with pytest.raises(WeightsError, match=r"not of the network 'test_resnet': it lacks"):
        converted(files["torch"], "test_resnet")
    with pytest.raises(WeightsError, match="Caffe and Keras files are read for VGG16 alone"):
        converted(files["caffe"], "test_resnet")
    with pytest.raises(ConfigError, match="timm has no architecture 'vgg61'"):
        converted(files["torch"], "vgg61")


@pytest.mark.parametrize("kind", ["caffe", "keras", "torch"])
def test_a_classifier_of_another_training_is_refused(files, kind):
    with pytest.raises(WeightsError, match=r"a classifier of 365 outputs. Weights of 'imagenet' have 1000"):
        converted(files[kind], trained_on="imagenet")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(timm_state, tmp_path, number):
    broken = timm_state["features.2.bias"].clone()
    broken[3] = number
    path = tmp_path / "broken.safetensors"
    save_file(timm_state | {"features.2.bias": broken}, path)
    with pytest.raises(WeightsError, match=r"NaN or infinite numbers in features\.2\.bias"):
        converted(path)


@pytest.mark.parametrize("kind", ["caffe", "keras", "torch", "torch checkpoint", "safetensors"])
@pytest.mark.parametrize("part", [0.0, 0.7])
def test_a_file_that_is_cut_off_is_refused(files, tmp_path, kind, part):
    data = files[kind].read_bytes()
    path = tmp_path / files[kind].name
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(WeightsError, match=r"cannot be read as"):
        converted(path)


def test_what_is_no_file_of_weights_is_refused(tmp_path):
    for name in ("page.h5", "page.caffemodel", "page.pth", "page.safetensors"):
        (tmp_path / name).write_text("<!DOCTYPE html><title>404</title>" * 9)
        with pytest.raises(WeightsError, match=rf"{name} cannot be read as .*list` says where"):
            converted(tmp_path / name)
    (tmp_path / "old.caffemodel").write_bytes(b"\x12\x02\x22\x00")  # a layer as Caffe wrote them before 2015
    with pytest.raises(WeightsError, match="load it with a newer Caffe and save it"):
        converted(tmp_path / "old.caffemodel")
    torch.save(build_backbone("test_resnet"), tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="not a pickled model"):
        converted(tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="There is no file"):
        converted(tmp_path / "none.h5")
    (tmp_path / "vgg16.onnx").touch()
    with pytest.raises(WeightsError, match=r"ends in '\.onnx'"):
        converted(tmp_path / "vgg16.onnx")


def test_training_takes_only_files_that_say_what_they_hold(files, tmp_path):
    with pytest.raises(WeightsError, match=r"does not say what it holds.*weights import"):
        load_encoder_weights(files["safetensors"])
    with pytest.raises(WeightsError, match="does not say what it holds"):
        load_encoder_weights(files["keras"])
    with pytest.raises(WeightsError, match=r"no file of weights.*init_from.encoder=published or random"):
        load_encoder_weights(tmp_path / "none.safetensors")
