"""The weights that are on this machine, checked, and those that are known and where to get them: as text.

torch and timm, which take seconds to load, are imported where there is a file that only they can judge.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from huggingface_hub import constants

from sedcrnn.errors import WeightsError
from sedcrnn.pretrained.local_files import FOLDER, check_cached, check_package, installed_file
from sedcrnn.pretrained.origins import ORIGINS, PACKAGES, Origin

Lines = list[tuple[str, str]]  # a word, and what follows it
NONE = "None of those that are known: no file in weights/, no package, nothing of timm's in the hub's cache"


def on_this_machine() -> str:
    """A paragraph for each file, installed package and file of the hub's cache, in the order in which
    `init_from.encoder=published` looks for them; each is read and its digest compared."""
    return "\n\n".join(_paragraph(place, _checked(look)) for place, look in _places()) or NONE


def known_weights() -> str:
    """What is known, where people get it, and its licence."""
    paragraphs = [
        _paragraph(f"backbone={name}", [*_origin(package), ("sha256", f"{package.sha256} {package.file}")])
        for name, package in PACKAGES.items()
    ]
    for name, origin in ORIGINS.items():
        digests = [("md5", f"{md5} {file}") for file, md5 in origin.md5.items()]
        paragraphs.append(_paragraph(f"trained_on={name}", [*_origin(origin), *digests]))
    return "\n\n".join(paragraphs)


def _places() -> Iterator[tuple[str, Callable[[], Lines]]]:
    for file in sorted(FOLDER.glob("*.safetensors")):
        yield str(file), partial(_file, file)
    for name, package in PACKAGES.items():
        if (path := installed_file(package)) is not None:
            yield f"package {package.name}", partial(_package, name, path)
    if folders := sorted(Path(constants.HF_HUB_CACHE).glob("models--timm--*")):
        from sedcrnn.networks.backbones import timm
        from sedcrnn.pretrained.finding import cached_file

        for name in (folder.name.removeprefix("models--timm--") for folder in folders):
            if timm.is_model_pretrained(name) and (path := cached_file(name)) is not None:
                yield f"hub's cache, timm/{name}", partial(_cached, name, path)


def _file(path: Path) -> Lines:
    from sedcrnn.pretrained.encoder_weights import load_encoder_weights

    weights = load_encoder_weights(path)
    return [
        ("what", f"{weights.backbone}, trained on {weights.trained_on}; from {weights.source}"),
        ("licence", weights.licence),
        ("digest", f"{weights.digest}, of the numbers"),
        ("setting", f"{weights.settings} init_from.encoder={path}"),
    ]


def _package(name: str, path: Path) -> Lines:
    check_package(path, PACKAGES[name])
    setting = f"model=visual_lite model.network.backbone={name} init_from.encoder=published"
    return _found(PACKAGES[name], "the SHA-256 is the one that is known", setting)


def _cached(name: str, path: Path) -> Lines:
    from sedcrnn.pretrained.timm_origins import timm_origin

    origin, checked = timm_origin(name), check_cached(path)
    setting = f"model.network.backbone={name} model.network.normalisation={origin.normalisation}"
    state = "the SHA-256 is the one that the hub gave" if checked else "the cache does not say what it was"
    return _found(origin, state, f"{setting} init_from.encoder=published")


def _found(origin: Origin, digest: str, setting: str) -> Lines:
    return [("what", origin.what), ("licence", origin.licence), ("digest", digest), ("setting", setting)]


def _checked(look: Callable[[], Lines]) -> Lines:
    try:
        return look()
    except WeightsError as error:
        return [("unusable", str(error))]


def _origin(origin: Origin) -> Lines:
    frames = f"{origin.frames}: model.network.normalisation={origin.normalisation}"
    return [("what", origin.what), ("where", origin.where), ("licence", origin.licence), ("frames", frames)]


def _paragraph(title: str, lines: Lines) -> str:
    return "\n".join([title, *(f"  {word:9} {text}" for word, text in lines)])
