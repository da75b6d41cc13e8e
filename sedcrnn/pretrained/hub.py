"""A name of timm's weights -> their file, from the hub that publishes them, and what is known of it."""

from dataclasses import replace
from pathlib import Path

import timm
from huggingface_hub import hf_hub_download

from sedcrnn.errors import WeightsError, nearest
from sedcrnn.networks.backbones import NORMALISATIONS
from sedcrnn.pretrained.origins import ORIGINS, Origin


def fetch(name: str, url: str | None = None) -> tuple[Path, Origin]:
    """Download the weights of a timm model, or find them in the hub's cache on this machine.

    Args:
        name: `<architecture>.<tag>`, as `vgg16.tv_in1k`.
        url: of a mirror; None: the hub itself (or HF_ENDPOINT).

    Raises:
        WeightsError: no such weights, weights for other frames than this package makes, or no connection.
    """
    published = timm.list_pretrained()
    config = timm.get_pretrained_cfg(name) if name in published else None
    if config is None or not config.hf_hub_id:
        raise WeightsError(
            f"timm has no weights '{name}' on the hub",
            f"The nearest is {nearest(name, published)}",
            "Correct the name; timm.list_pretrained() lists them all",
        )
    imagenet = NORMALISATIONS["imagenet"]
    scaled = [tuple(255 * value for value in values) for values in (config.mean, config.std)]
    if scaled != [imagenet.mean, imagenet.std]:
        raise WeightsError(
            f"'{name}' takes frames with the mean {config.mean} and deviation {config.std}",
            "Weights that are downloaded take ImageNet's, (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225)",
            "Choose another tag of this architecture",
        )
    try:
        file = hf_hub_download(config.hf_hub_id, config.hf_hub_filename or "model.safetensors", endpoint=url)
    except OSError as error:  # all of the hub's errors are
        raise WeightsError(
            f"{config.hf_hub_id} cannot be downloaded: {' '.join(str(error).split())}",
            "The hub can be reached from this machine, or the file is in its cache (HF_HOME)",
            "Get model.safetensors on another machine, then `python -m sedcrnn.weights import model.safetensors "
            f"backbone={config.architecture} trained_on=imagenet`",
        ) from error
    origin = replace(
        ORIGINS["imagenet"],
        what=f"timm's {name}",
        data=name.partition(".")[2],
        where=f"https://huggingface.co/{config.hf_hub_id}",
        licence=config.license or "not stated by timm; see the model card",
        classes=config.num_classes,
    )
    return Path(file), origin
