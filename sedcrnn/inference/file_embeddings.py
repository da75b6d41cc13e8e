"""The embeddings of every second of files: as an object, and as one npz or Parquet file for many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sedcrnn.errors import ConfigError, import_extra, visible
from sedcrnn.runs.files import atomic

Floats = NDArray[np.float32]

WRITTEN = (".npz", ".parquet")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The embeddings of one file: `values` are (second, size) by name, `audio`, `visual` and `fused` in this package's
    networks, as far as the file has what they need; `tracks` and `absent` are those of `Prediction`."""

    path: Path
    values: Mapping[str, Floats]
    tracks: Mapping[str, int]
    absent: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Floats:
        return self.values[name]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the embeddings."""
        return tuple(self.values)

    @property
    def seconds(self) -> NDArray[np.int64]:
        """(second,) start of each window, in seconds from the start of the file."""
        return np.arange(len(next(iter(self.values.values()))))


def check_format(output: str) -> None:
    """Refuse an output whose suffix is no format, or whose format needs what is not installed.

    Raises:
        SedcrnnError: what is allowed, or how to install it.
    """
    suffix = Path(output).suffix.lower()
    if suffix not in WRITTEN:
        raise ConfigError(
            f"output={output} is neither npz nor Parquet", "Its suffix says which", "Set output=embeddings.npz"
        )
    if suffix == ".parquet":
        _pyarrow()


def write_embeddings(path: Path, files: Sequence[Embeddings]) -> None:
    """Write one row per file and second: `path` (as text that any program can show), `second`, and every embedding.
    What a file has no embedding of is not a number in npz, and null in Parquet.
    """
    sizes = {name: values.shape[1] for one in files for name, values in one.values.items()}
    columns: dict[str, Any] = {
        "path": np.concatenate([np.full(len(one.seconds), visible(str(one.path))) for one in files]),
        "second": np.concatenate([one.seconds for one in files]),
    }
    for name, size in sizes.items():
        blanks = (np.full((len(one.seconds), size), np.nan, np.float32) for one in files)
        columns[name] = np.concatenate([one.values.get(name, blank) for one, blank in zip(files, blanks, strict=True)])
    with atomic(path) as temporary:
        if path.suffix.lower() == ".npz":
            with temporary.open("wb") as file:
                np.savez(file, **columns)
        else:
            _write_parquet(temporary, columns, sizes)


def _write_parquet(path: Path, columns: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    arrow = _pyarrow()
    arrays = {name: arrow.array(columns[name]) for name in ("path", "second")}
    for name, size in sizes.items():
        there = ~np.isnan(columns[name]).any(1)
        arrays[name] = arrow.FixedSizeListArray.from_arrays(
            arrow.array(columns[name].reshape(-1)), size, mask=arrow.array(~there)
        )
    import_extra("pyarrow.parquet", "parquet", "Parquet files need").write_table(arrow.table(arrays), path)


def _pyarrow() -> Any:
    return import_extra("pyarrow", "parquet", "Parquet files need")
