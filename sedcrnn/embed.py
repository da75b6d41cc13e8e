"""The embeddings of every second of media files, in one file: what the classifiers of a trained network see.

sedcrnn embed run=fusion clip.mp4 output=embeddings.npz
sedcrnn embed run=audio recordings/ output=embeddings.parquet
"""

from dataclasses import field
from typing import Annotated

from pydantic.dataclasses import dataclass

from sedcrnn.cli import command
from sedcrnn.config.command_options import Device, Precision, RunName
from sedcrnn.config.values import CHECKED, Count, OnDamage, PathName


@dataclass(config=CHECKED, kw_only=True)
class EmbedOptions:
    """What embeds which files, and where the embeddings go."""

    run: RunName
    output: Annotated[PathName, "File of all embeddings: .npz or .parquet."]
    files: Annotated[list[PathName], "Media files and folders."] = field(default_factory=list)
    audio: Annotated[PathName | None, "File whose audio is taken in place of that of the one file to embed."] = None
    batch_size: Annotated[Count | None, "Seconds at a time; null: 10, fewer where frames are large."] = None
    damage: OnDamage = "skip"
    device: Device = "auto"
    precision: Precision = "32-true"


@command(EmbedOptions, words=["files*"])
def main(options: EmbedOptions) -> None:
    """Embed the files, and write what was found."""
    from sedcrnn.inference.file_embeddings import check_format
    from sedcrnn.inference.media_embeddings import embed_files
    from sedcrnn.runs.outputs import check_place

    check_format(options.output)
    check_place("output", options.output)
    embed_files(**vars(options))


if __name__ == "__main__":
    main()
