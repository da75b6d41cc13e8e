"""Published weights -> a checked file that a stage starts from (init_from.encoder=<file>).

sedcrnn weights list
sedcrnn weights import vgg16-places365_weights_tf_dim_ordering_tf_kernels_notop.h5
sedcrnn weights import vgg16_places365.caffemodel trained_on=places365_caffe
sedcrnn weights download vgg16.tv_in1k
"""

from dataclasses import field
from typing import Annotated, Literal

from pydantic.dataclasses import dataclass

from sedcrnn.cli import command
from sedcrnn.config.values import CHECKED, Name, PathName
from sedcrnn.errors import ConfigError


@dataclass(config=CHECKED, kw_only=True)
class WeightsOptions:
    """What to do with which weights."""

    action: Annotated[Literal["import", "download", "list"], "What to do."]
    files: Annotated[list[PathName], "The file to import, or the name to download."] = field(default_factory=list)
    trained_on: Annotated[
        Literal["places365_caffe", "places365_keras", "places365_torch", "imagenet"] | None,
        "What they were trained on (`list` explains); null: known by the file's MD5 or the tag.",
    ] = None
    backbone: Annotated[
        Name, "timm architecture that a file to import holds; <architecture>.<tag>: timm's own weights."
    ] = "vgg16"
    output: Annotated[PathName | None, "File to write; null: weights/<backbone>-<data>.safetensors."] = None
    url: Annotated[Name | None, "Mirror of the hub to download from."] = None


@command(WeightsOptions, words=["action", "files*"])
def main(options: WeightsOptions) -> None:
    """List, import or download weights."""
    from sedcrnn.pretrained.importing import download_weights, import_weights, known_weights

    if options.action == "list":
        print(known_weights())
        return
    if len(options.files) != 1:
        raise ConfigError(
            f"{len(options.files)} words follow '{options.action}'",
            "One follows import (a file) or download (a name such as vgg16.tv_in1k)",
            "Give one at a time",
        )
    if options.action == "import":
        import_weights(options.files[0], options.backbone, options.trained_on, options.output)
    else:
        download_weights(options.files[0], options.output, options.url)


if __name__ == "__main__":
    main()
