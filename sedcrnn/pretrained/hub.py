"""A name of timm's weights -> what is known of them, and their file from the hub that publishes them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import hf_hub_download

from sedcrnn.errors import WeightsError, nearest
from sedcrnn.networks.normalisation import NORMALISATIONS, TIMM, find_normalisation
from sedcrnn.pretrained.origins import ORIGINS, Origin


def timm_origin(name: str) -> Origin:
    """What timm knows of weights.

    Args:
        name: `<architecture>.<tag>`, as `vgg16.tv_in1k`.

    Raises:
        WeightsError: no such weights.
    """
    published = timm.list_pretrained()
    config = timm.get_pretrained_cfg(name) if name in published else None
    if config is None or not config.hf_hub_id:
        raise WeightsError(
            f"timm has no weights '{name}' on the hub",
            f"The nearest is {nearest(name, published)}",
            "Correct the name; timm.list_pretrained() lists them all",
        )
    like_imagenet = find_normalisation(TIMM, name) == NORMALISATIONS["imagenet"]
    _, height, width = config.input_size
    return replace(
        ORIGINS["imagenet"],
        what=f"timm's {name}, trained at {height} x {width} pixels",
        data=name.partition(".")[2],
        where=f"https://huggingface.co/{config.hf_hub_id}",
        licence=config.license or "not stated by timm; see the model card",
        normalisation="imagenet" if like_imagenet else TIMM,
        classes=config.num_classes,
        name=name,
    )


def fetch(name: str, url: str | None = None) -> Path:
    """Download the weights of a timm model, or find them in the hub's cache on this machine.

    Args:
        name: of weights that `timm_origin` knows.
        url: of a mirror; None: the hub itself (or HF_ENDPOINT).

    Raises:
        WeightsError: no connection, or the hub does not have them.
    """
    config: Any = timm.get_pretrained_cfg(name)
    try:
        return Path(hf_hub_download(config.hf_hub_id, config.hf_hub_filename or "model.safetensors", endpoint=url))
    except OSError as error:  # all of the hub's errors are
        raise WeightsError(
            f"{config.hf_hub_id} cannot be downloaded: {' '.join(str(error).split())}",
            "The hub can be reached from this machine, or the file is in its cache (HF_HOME)",
            f"Get model.safetensors on another machine, then `python -m sedcrnn.weights import model.safetensors "
            f"backbone={name}`",
        ) from error
