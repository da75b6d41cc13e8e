"""What timm knows of published weights: where they are, on which frames they were trained, their licence."""

from dataclasses import replace
from typing import Any

from sedcrnn.errors import WeightsError, nearest
from sedcrnn.networks.backbones import NORMALISATIONS, TIMM, Normalisation, find_normalisation, timm
from sedcrnn.pretrained.origins import ORIGINS, Origin


def timm_origin(name: str) -> Origin:
    """What is known of the weights `<architecture>.<tag>`, as the hub delivers them.

    Raises:
        WeightsError: timm has none of this name on the hub.
    """
    published = timm.list_pretrained()
    config: Any = timm.get_pretrained_cfg(name) if name in published else None
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


def hub_file(name: str) -> tuple[str, str]:
    """Repository on the hub, and file in it, of weights that timm has there."""
    config: Any = timm.get_pretrained_cfg(name)
    return config.hf_hub_id, config.hf_hub_filename or "model.safetensors"


def in_words(frames: Normalisation) -> str:
    """The frames that weights were trained on: channel order, mean and deviation."""

    def rounded(values: tuple[float, float, float]) -> str:
        return "(" + ", ".join(f"{value:.7g}" for value in values) + ")"

    scale = "" if set(frames.std) == {1.0} else f", divided by {rounded(frames.std)}"
    return f"{'BGR' if frames.bgr else 'RGB'}, 0-255 less {rounded(frames.mean)}{scale}"
