"""Paths of files and folders -> the clips that they name -> the embeddings of all their seconds, in one file."""

from collections.abc import Sequence
from pathlib import Path

import sedcrnn
from sedcrnn.errors import visible
from sedcrnn.inference.file_embeddings import Embeddings, write_embeddings
from sedcrnn.inference.media_predictions import check_none_failed, each_file, find_media


def embed_files(
    run: str,
    files: Sequence[str],
    output: str,
    audio: str | None,
    batch_size: int | None,
    damage: str,
    device: str,
    precision: str,
) -> None:
    """Embed all files, print a line for each, and write one file of all; list those that cannot be read at the end.

    Raises:
        SedcrnnError: before anything is embedded, for what is misused; afterwards a DataError, for files that cannot be
            read.
    """
    media = find_media(files, audio)
    predictor = sedcrnn.load(run, device, precision, calibrated=False, damage=damage)
    failed: list[tuple[str, str]] = []
    found: list[Embeddings] = []
    for number, embeddings in each_file(
        media, lambda one: predictor.embed(one.video, one.audio, batch_size, progress=True), failed
    ):
        sizes = ", ".join(f"{name} {values.shape[1]}" for name, values in embeddings.values.items())
        print(f"{media[number].name}: {len(embeddings.seconds)} s; {sizes}", flush=True)
        found.append(embeddings)
    if found:
        write_embeddings(Path(output), found)
        print(f"Written: {visible(output)}")
    check_none_failed(failed, len(media), "embedded")
