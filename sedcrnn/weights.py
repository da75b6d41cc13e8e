"""Published weights that stages start from: what is on this machine, and files of it -> one checked file each.

sedcrnn weights list
sedcrnn weights import vgg16-places365_weights_tf_dim_ordering_tf_kernels_notop.h5
sedcrnn weights import vgg16_places365.caffemodel trained_on=places365_caffe
sedcrnn weights download vgg16.tv_in1k
"""

from typing import Annotated, Literal

from pydantic.dataclasses import dataclass

from sedcrnn.cli import command
from sedcrnn.config.values import CHECKED, Name, PathName
from sedcrnn.errors import ConfigError


@dataclass(config=CHECKED, kw_only=True)
class WeightsOptions:
    """What to do with which weights."""

    action: Annotated[Literal["import", "download", "list"], "What to do."]
    file: Annotated[PathName | None, "The file to import, or the name to download."] = None
    trained_on: Annotated[
        Literal["places365_caffe", "places365_keras", "places365_torch", "imagenet"] | None,
        "What they were trained on (`list` explains); null: known by the file's MD5 or the tag.",
    ] = None
    backbone: Annotated[
        Name | None,
        "timm architecture that a file to import holds; <architecture>.<tag>: timm's own weights; null: known by the "
        "file's digest, or vgg16.",
    ] = None
    output: Annotated[PathName | None, "File to write; null: weights/<backbone>-<data>.safetensors."] = None
    url: Annotated[Name | None, "Mirror of the hub to download from."] = None


@command(WeightsOptions, words=["action", "file"])
def main(options: WeightsOptions) -> None:
    """List, import or download weights."""
    if options.action == "list":
        from sedcrnn.pretrained.listing import known_weights, on_this_machine

        print(f"ON THIS MACHINE\n\n{on_this_machine()}\n\n\nKNOWN, AND WHERE TO GET THEM\n\n{known_weights()}\n")
        print("Next: sedcrnn train experiment=visual <setting>, sedcrnn weights import <file>, or")
        print("sedcrnn weights download vgg16.tv_in1k")
        return
    if options.file is None:
        raise ConfigError(
            f"Nothing follows '{options.action}'",
            "What follows is a file to import, or the name of weights to download, such as vgg16.tv_in1k",
            f"Give it: sedcrnn weights {options.action} <{'file' if options.action == 'import' else 'name'}>",
        )
    from sedcrnn.pretrained.importing import download_weights, import_weights

    if options.action == "import":
        print(import_weights(options.file, options.backbone, options.trained_on, options.output))
    else:
        print(download_weights(options.file, options.output, options.url))


if __name__ == "__main__":
    main()
