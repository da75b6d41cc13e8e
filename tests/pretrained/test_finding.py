"""Where published weights are looked for, in which order, and what is refused on the way."""

import hashlib
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import matplotlib.cbook
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from sedcrnn.errors import ConfigError, WeightsError
from sedcrnn.networks.backbones import FrameEncoder, build_backbone
from sedcrnn.pretrained.encoder_weights import EncoderWeights
from sedcrnn.pretrained.finding import find_published
from sedcrnn.pretrained.local_files import installed_file
from sedcrnn.pretrained.origins import PACKAGES, Package
from sedcrnn.pretrained.timm_origins import timm_origin

NAME = "test_resnet.r160_in1k"
LITE = [f"tf_efficientnet_lite{number}.in1k" for number in range(3)]


def state(seed: int) -> dict[str, torch.Tensor]:
    """A whole network as timm has it, with its classifier."""
    torch.manual_seed(seed)
    found: dict[str, torch.Tensor] = timm.create_model("test_resnet").state_dict()
    return found


def in_folder(seed: int, name: str = "test_resnet-r160_in1k", trained_on: str = "r160_in1k") -> None:
    kept = {key: state(seed)[key] for key in build_backbone("test_resnet").state_dict()}
    normalisation = "timm" if trained_on == "r160_in1k" else "places365"
    weights = EncoderWeights("test_resnet", trained_on, normalisation, "CC BY", "a.pth", "0" * 32, kept)
    weights.save(Path("weights") / f"{name}.safetensors")


def in_package(site: Path, seed: int, monkeypatch: pytest.MonkeyPatch, name: str = "test-weights-model") -> Package:
    """An installed package whose own code must not run, with the network under names of its own."""
    package = site / name.replace("-", "_")
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    parts = {key: f"_{number}.{key.rpartition('.')[2]}" for number, key in enumerate(state(seed))}
    torch.save({parts[key]: value for key, value in state(seed).items()}, package / "model.pth")
    (site / f"{package.name}-1.0.dist-info").mkdir()
    (site / f"{package.name}-1.0.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n"
    )
    sha256 = hashlib.sha256((package / "model.pth").read_bytes()).hexdigest()
    about = replace(timm_origin(NAME), what="a test", where="nowhere", licence="MIT")
    known = Package(name=name, file=f"{package.name}/model.pth", sha256=sha256, **vars(about))
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setitem(PACKAGES, NAME, known)
    return known


def in_cache(cache: Path, seed: int) -> Path:
    """As the hub's cache lays it out: a blob named by its SHA-256, and a snapshot that points to it."""
    repository = cache / f"models--timm--{NAME}"
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c" * 40)
    save_file(state(seed), repository / "model")
    blob = repository / "blobs" / hashlib.sha256((repository / "model").read_bytes()).hexdigest()
    (repository / "model").rename(blob)
    snapshot = repository / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(blob)
    return blob


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing: an empty folder to work in, and an empty cache of the hub, which is returned."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "hub"


def holds(weights: EncoderWeights, seed: int) -> bool:
    expected = state(seed)
    return all(torch.equal(value, expected[name]) for name, value in weights.weights.items())


def test_the_first_place_that_has_them_wins_folder_then_package_then_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_cache(cache, seed=3)
    found = find_published(NAME)
    assert holds(found, 3)
    assert (found.trained_on, found.normalisation, found.licence) == ("r160_in1k", "timm", "apache-2.0")
    in_package(tmp_path / "site", 2, monkeypatch)
    found = find_published(NAME)
    assert holds(found, 2)
    assert (found.backbone, found.trained_on, found.licence) == ("test_resnet", "r160_in1k", "MIT")
    in_folder(1)
    found = find_published(NAME)
    assert holds(found, 1)
    assert found.licence == "CC BY"


def test_a_name_without_a_tag_means_places365_whatever_else_there_is(cache: Path) -> None:
    in_cache(cache, seed=3)
    in_folder(1)
    with pytest.raises(WeightsError, match=r"no file weights/test_resnet-places365\.safetensors; of other trainings.*"):
        find_published("test_resnet")
    in_folder(2, "test_resnet-places365", "places365_torch")
    assert holds(find_published("test_resnet"), 2)


def test_every_place_that_was_looked_at_is_named_and_how_to_get_them(cache: Path) -> None:
    for name in ("imagenet", "other"):
        in_folder(1, f"tf_efficientnet_lite0-{name}")
    lite = replace(PACKAGES["tf_efficientnet_lite0.in1k"], name="surely-not-installed")
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(PACKAGES, "tf_efficientnet_lite0.in1k", lite)
        with pytest.raises(WeightsError) as told:
            find_published("tf_efficientnet_lite0.in1k")
    for words in (
        "there is no file weights/tf_efficientnet_lite0-in1k.safetensors",
        "the package surely-not-installed is not installed",
        f"the hub's cache, {cache}, has no timm/tf_efficientnet_lite0.in1k",
        "weights/tf_efficientnet_lite0-imagenet.safetensors, weights/tf_efficientnet_lite0-other.safetensors",
        "uv pip install surely-not-installed or sedcrnn weights download tf_efficientnet_lite0.in1k",
        "init_from.encoder=<file>",
        "init_from.encoder=random",
    ):
        assert words in str(told.value)
    with pytest.raises(
        WeightsError, match=r"no timm/test_vit\.r160_in1k.*sedcrnn weights download test_vit\.r160_in1k"
    ):
        find_published("test_vit.r160_in1k")
    with pytest.raises(ConfigError, match=r"no weights 'test_resnet\.in2k'"):
        find_published("test_resnet.in2k")


def test_a_package_whose_file_is_another_or_missing_is_an_error_though_the_cache_has_them(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_cache(cache, seed=3)
    package = in_package(tmp_path / "site", 2, monkeypatch)
    path = installed_file(package)
    assert path == tmp_path / "site" / "test_weights_model" / "model.pth"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=rf"known has {package.sha256}.*--reinstall test-weights-model"):
        find_published(NAME)
    path.unlink()
    with pytest.raises(WeightsError, match=r"model\.pth, of the package test-weights-model, is missing"):
        find_published(NAME)


def test_a_package_in_another_order_than_timms_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = in_package(tmp_path / "site", 2, monkeypatch)
    path = installed_file(package)
    assert path is not None
    torch.save(dict(reversed(state(2).items())), path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(PACKAGES, NAME, replace(package, sha256=sha256))
    with pytest.raises(WeightsError, match=r"whose order or shapes are not those of 'test_resnet' in timm"):
        find_published(NAME)


def test_damaged_files_of_the_cache_and_of_the_folder_are_refused(cache: Path) -> None:
    blob = in_cache(cache, seed=3)
    save_file(state(4), blob)
    with pytest.raises(WeightsError, match=rf"The hub delivered it with {blob.name}.*Delete "):
        find_published(NAME)
    in_folder(1)
    file = Path("weights/test_resnet-r160_in1k.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(WeightsError, match=r"has changed since it was written.*Import a\.pth again"):
        find_published(NAME)


def test_a_file_that_is_named_after_other_weights_is_refused(cache: Path) -> None:
    in_folder(1, trained_on="imagenet")
    with pytest.raises(WeightsError, match=r"holds weights of 'test_resnet' \(trained on: imagenet\).*Rename it"):
        find_published(NAME)


@pytest.mark.parametrize("name", LITE)
def test_the_packages_hold_timms_networks_array_by_array_and_know_a_uniform(cache: Path, name: str) -> None:
    path = installed_file(PACKAGES[name])
    assert path is not None, "the extra lite is not installed"
    published = torch.load(path, weights_only=True)
    weights = find_published(name)
    architecture = name.partition(".")[0]
    whole = timm.create_model(architecture)
    whole.load_state_dict(dict(zip(whole.state_dict(), published.values(), strict=True)))  # strict in shapes
    expected = whole.state_dict()
    assert expected.keys() - weights.weights.keys() == {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(value, expected[key]) for key, value in weights.weights.items())
    assert weights.licence.startswith("Apache-2.0")
    assert weights.source == path.name
    encoder = FrameEncoder(name, "model", "timm").eval()
    encoder.load_published(weights.weights)
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        photograph = Image.open(file).convert("RGB")
    square = photograph.crop((0, 44, 512, 556)).resize((224, 224), Image.Resampling.BICUBIC)
    frames = torch.from_numpy(np.array(square)).permute(2, 0, 1)[None, None]
    with torch.no_grad():
        likely = whole.classifier(encoder(frames)[0, 0]).softmax(-1)
    uniform, suit, tie = 652, 834, 906  # military uniform, suit, Windsor tie: indices of ImageNet
    assert likely[[uniform, suit, tie]].sum() > 0.4
    assert likely.argmax() in (uniform, suit)
