"""A published file, or a name on timm's hub -> a checked safetensors file that a stage starts from."""

from pathlib import Path

from huggingface_hub import hf_hub_download

from sedcrnn.errors import ConfigError, WeightsError
from sedcrnn.pretrained.encoder_weights import EncoderWeights, convert, md5_of
from sedcrnn.pretrained.finding import from_package
from sedcrnn.pretrained.formats import file_format
from sedcrnn.pretrained.local_files import FOLDER, sha256_of
from sedcrnn.pretrained.origins import ORIGINS, PACKAGES, Origin, identify
from sedcrnn.pretrained.timm_origins import hub_file, timm_origin

UNNAMED = "vgg16"  # what a file holds that neither its digest nor the user names


def import_weights(file: str, backbone: str | None, trained_on: str | None, output: str | None) -> str:
    """Convert a published file; arguments are those of `sedcrnn weights import`. Returns what became of it, as text."""
    path = Path(file)
    file_format(path)
    if (packaged := _packaged(path, backbone, trained_on)) is not None:
        identity = f"the file of {PACKAGES[packaged].name}"
        return _save(from_package(path, packaged), PACKAGES[packaged], identity, output)
    backbone = backbone or UNNAMED
    architecture, _, tag = backbone.partition(".")
    if tag and trained_on is not None:
        raise WeightsError(
            f"backbone is '{backbone}', and trained_on is '{trained_on}'",
            "One of the two says what the weights were trained on: the tag of timm's, or trained_on",
            "Leave trained_on out, or the tag",
        )
    md5 = md5_of(path)
    published = [name for origin in ORIGINS.values() for name, known in origin.md5.items() if known == md5]
    name = tag or identify(md5, trained_on)
    origin = timm_origin(backbone) if tag else ORIGINS[name]
    identity = f"the published {published[0]}" if published else "none of the known files, so its origin is as you say"
    return _save(convert(path, architecture, name, origin), origin, identity, output)


def download_weights(name: str, output: str | None, url: str | None) -> str:
    """Download weights that timm names, or find them in the hub's cache, and convert them; arguments as above."""
    origin = timm_origin(name)
    repository, file = hub_file(name)
    try:
        path = Path(hf_hub_download(repository, file, endpoint=url))
    except OSError as error:  # all of the hub's errors are
        raise WeightsError(
            f"{repository} cannot be downloaded: {' '.join(str(error).split())}",
            "The hub can be reached from this machine, or the file is in its cache (HF_HOME)",
            f"Get {file} on another machine, then: sedcrnn weights import {file} backbone={name}",
        ) from error
    backbone, _, tag = name.partition(".")
    return _save(convert(path, backbone, tag, origin), origin, "as the hub delivers it", output)


def _packaged(path: Path, backbone: str | None, trained_on: str | None) -> str | None:
    """timm's name of the weights, if the file is that of a known package."""
    digest = sha256_of(path)
    name = next((name for name, package in PACKAGES.items() if package.sha256 == digest), None)
    if name is not None and (trained_on is not None or backbone not in (None, name, name.partition(".")[0])):
        raise WeightsError(
            f"{path} is, by its SHA-256, the file of {PACKAGES[name].name}, which holds {name}",
            "What a known file holds need not be said",
            "Leave backbone and trained_on out",
        )
    return name


def _save(weights: EncoderWeights, origin: Origin, identity: str, output: str | None) -> str:
    written = Path(output or FOLDER / f"{weights.backbone}-{origin.data}.safetensors")
    if written.suffix != ".safetensors":
        raise ConfigError(f"output={written}", "The file that is written ends in .safetensors", "Correct the name")
    weights.save(written)
    numbers = sum(value.numel() for value in weights.weights.values())
    return (
        f"md5         {weights.md5} of {weights.source}: {identity}\n"
        f"trained on  {weights.trained_on}: {origin.what}\n"
        f"licence     {weights.licence}\n"
        f"frames      {origin.frames}\n"
        f"written     {written}: {len(weights.weights)} arrays, {numbers:,} numbers\n"
        f"Next: sedcrnn train experiment=visual {weights.settings} init_from.encoder={written}"
    )
