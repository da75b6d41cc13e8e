"""Published weights -> a checked safetensors file that a stage starts from (init_from.encoder=<file>).

python -m sedcrnn.weights list
python -m sedcrnn.weights import vgg16-places365_weights_tf_dim_ordering_tf_kernels_notop.h5
python -m sedcrnn.weights import vgg16_places365.caffemodel trained_on=places365_caffe
python -m sedcrnn.weights import model.safetensors backbone=tiny_vit_11m_224.dist_in22k_ft_in1k
python -m sedcrnn.weights download vgg16.tv_in1k
"""

from pathlib import Path

from sedcrnn.errors import ConfigError, WeightsError
from sedcrnn.pretrained.encoder_weights import EncoderWeights, convert, md5_of
from sedcrnn.pretrained.formats import file_format
from sedcrnn.pretrained.hub import fetch, timm_origin
from sedcrnn.pretrained.origins import ORIGINS, Origin, identify


def import_weights(file: str, backbone: str, trained_on: str | None, output: str | None) -> Path:
    """Convert a published file, and tell what it was and what became of it.

    Args:
        file: Caffe, Keras, torch or safetensors file.
        backbone: timm architecture that it holds; with a tag, timm knows its origin.
        trained_on: name of its origin; None: known by the tag or by its MD5.
        output: where the weights go; None: `weights/<backbone>-<data>.safetensors`.

    Returns:
        The file written.

    Raises:
        WeightsError: what `identify`, `timm_origin` and `convert` raise, or two origins.
    """
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
    print(f"md5         {md5} of {path.name}: {_published(md5)}")
    name = tag or identify(md5, trained_on)
    origin = timm_origin(backbone) if tag else ORIGINS[name]
    return _save(convert(path, architecture, name, origin), origin, output)


def download_weights(name: str, output: str | None, url: str | None) -> Path:
    """Download weights that timm names, convert them, and tell what became of them; parameters as above.

    Raises:
        WeightsError: what `timm_origin`, `fetch` and `convert` raise.
    """
    origin = timm_origin(name)
    path = fetch(name, url)
    backbone, _, tag = name.partition(".")
    weights = convert(path, backbone, tag, origin)
    print(f"md5         {weights.md5} of {path.name}: as the hub delivers it")
    return _save(weights, origin, output)


def known_weights() -> str:
    """What is known, where people get it, and its licence, as text."""
    lines = []
    for name, origin in ORIGINS.items():
        lines += [f"trained_on={name}", f"  what      {origin.what}", f"  where     {origin.where}"]
        lines += [f"  licence   {origin.licence}", f"  frames    {_frames(origin)}"]
        lines += [f"  md5       {md5} {file}" for file, md5 in origin.md5.items()]
        lines.append("")
    return "\n".join(lines[:-1])


def _save(weights: EncoderWeights, origin: Origin, output: str | None) -> Path:
    written = Path(output or f"weights/{weights.backbone}-{origin.data}.safetensors")
    if written.suffix != ".safetensors":
        raise ConfigError(f"output={written}", "The file that is written ends in .safetensors", "Correct the name")
    weights.save(written)
    numbers = sum(value.numel() for value in weights.weights.values())
    print(f"trained on  {weights.trained_on}: {origin.what}")
    print(f"licence     {weights.licence}")
    print(f"frames      {_frames(origin)}")
    print(f"written     {written}: {len(weights.weights)} arrays, {numbers:,} numbers")
    print(f"to use it   python -m sedcrnn.train experiment=visual {weights.settings} init_from.encoder={written}")
    return written


def _published(md5: str) -> str:
    """Whether the file is one of those that are known."""
    names = [name for origin in ORIGINS.values() for name, known in origin.md5.items() if known == md5]
    return f"the published {names[0]}" if names else "none of the known files, so trained_on has to say what it is"


def _frames(origin: Origin) -> str:
    return f"{origin.frames}: model.network.normalisation={origin.normalisation}"
