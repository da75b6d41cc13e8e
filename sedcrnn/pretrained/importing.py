"""A published file, or a name on timm's hub -> a checked safetensors file that a stage starts from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download

from sedcrnn.errors import ConfigError, WeightsError, nearest
from sedcrnn.networks.backbones import NORMALISATIONS, TIMM, Normalisation, find_normalisation, timm
from sedcrnn.pretrained.encoder_weights import EncoderWeights, convert, md5_of
from sedcrnn.pretrained.formats import file_format
from sedcrnn.pretrained.origins import ORIGINS, Origin, identify


def import_weights(file: str, backbone: str, trained_on: str | None, output: str | None) -> str:
    """Convert a published file; arguments are those of `sedcrnn weights import`. Returns what became of it, as text."""
    path = Path(file)
    file_format(path)
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
    origin = _timm_origin(backbone) if tag else ORIGINS[name]
    identity = f"the published {published[0]}" if published else "none of the known files, so its origin is as you say"
    return _save(convert(path, architecture, name, origin), origin, identity, output)


def download_weights(name: str, output: str | None, url: str | None) -> str:
    """Download weights that timm names, or find them in the hub's cache, and convert them; arguments as above."""
    origin = _timm_origin(name)
    config: Any = timm.get_pretrained_cfg(name)
    try:
        path = Path(hf_hub_download(config.hf_hub_id, config.hf_hub_filename or "model.safetensors", endpoint=url))
    except OSError as error:  # all of the hub's errors are
        raise WeightsError(
            f"{config.hf_hub_id} cannot be downloaded: {' '.join(str(error).split())}",
            "The hub can be reached from this machine, or the file is in its cache (HF_HOME)",
            f"Get model.safetensors on another machine, then: sedcrnn weights import model.safetensors backbone={name}",
        ) from error
    backbone, _, tag = name.partition(".")
    return _save(convert(path, backbone, tag, origin), origin, "as the hub delivers it", output)


def _timm_origin(name: str) -> Origin:
    """What timm knows of weights."""
    published = timm.list_pretrained()
    config = timm.get_pretrained_cfg(name) if name in published else None
    if config is None or not config.hf_hub_id:
        raise WeightsError(
            f"timm has no weights '{name}' on the hub",
            f"The nearest is {nearest(name, published)}",
            "Correct the name; timm.list_pretrained() lists them all",
        )
    frames = find_normalisation(TIMM, name)
    _, height, width = config.input_size
    return replace(
        ORIGINS["imagenet"],
        what=f"timm's {name}, trained at {height} x {width} pixels",
        data=name.partition(".")[2],
        where=f"https://huggingface.co/{config.hf_hub_id}",
        licence=config.license or "not stated by timm; see the model card",
        normalisation="imagenet" if frames == NORMALISATIONS["imagenet"] else TIMM,
        frames=in_words(frames),
        classes=config.num_classes,
    )


def in_words(frames: Normalisation) -> str:
    """The frames that weights were trained on: channel order, mean and deviation."""

    def rounded(values: tuple[float, float, float]) -> str:
        return "(" + ", ".join(f"{value:.7g}" for value in values) + ")"

    scale = "" if set(frames.std) == {1.0} else f", divided by {rounded(frames.std)}"
    return f"{'BGR' if frames.bgr else 'RGB'}, 0-255 less {rounded(frames.mean)}{scale}"


def _save(weights: EncoderWeights, origin: Origin, identity: str, output: str | None) -> str:
    written = Path(output or f"weights/{weights.backbone}-{origin.data}.safetensors")
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
