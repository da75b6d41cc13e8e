"""An ONNX file of others -> what it says of itself, checked; or why it is refused. The export writes such files.

Numbers of fields are those of onnx.proto. A file ends in an entry of metadata that is its seal (`runs.seals`).
"""

import json
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from sedcrnn.config.checking import checked
from sedcrnn.config.values import CHECKED, FeatureNode, Flag, Name, Positive, Share
from sedcrnn.pretrained.protobuf import fields
from sedcrnn.runs.plain_data import check_plain
from sedcrnn.runs.seals import SEAL, UNSEALED, is_sealed, seal

LARGEST_INPUT = 1 << 28  # numbers of one second

# Message -> its fields that hold tensors, or messages with tensors. A tensor's field 13 says where else its data lie.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {13: "data elsewhere"},
}
_METADATA, _KEY, _VALUE = 14, 1, 2


@dataclass(config=CHECKED, kw_only=True)
class InputMetadata:
    """One second of an input of the graph."""

    shape: Annotated[list[int | str], Field(min_length=2, max_length=8)]  # the first is the batch
    type: Literal["uint8", "int16", "int32", "int64", "float16", "float32", "float64"]
    unit: str


@dataclass(config=CHECKED, kw_only=True)
class OnnxMetadata:
    """What `inference.onnx_export` writes, as far as prediction needs it."""

    scenes: Annotated[list[Name], Field(min_length=1)]
    heads: Annotated[dict[Name, list[Name]], Field(min_length=1)]
    inputs: dict[Name, InputMetadata]
    features: dict[Name, FeatureNode]
    temperatures: dict[Name, Positive]
    no_temperatures: str
    multi_label: Flag
    thresholds: dict[Name, list[Share]]


def seal_onnx(path: Path) -> None:
    """Add the seal, as one more entry of the metadata: a message that follows another one adds to it."""
    key, value = b"seal", UNSEALED
    entry = bytes([_KEY << 3 | 2, len(key)]) + key + bytes([_VALUE << 3 | 2, len(value)]) + value
    with path.open("ab") as file:
        file.write(bytes([_METADATA << 3 | 2, len(entry)]) + entry)
    seal(path)


def check_onnx_file(path: Path) -> None:
    """Refuse a file before ONNX Runtime sees it.

    Raises:
        ValueError: it is not as it was written, or has numbers in other files, which could be any of this computer.
    """
    if path.stat().st_size <= SEAL or not is_sealed(path):
        raise ValueError("it is damaged, or was changed or written by something else than this version of sedcrnn")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        waiting = [("model", memoryview(content))]
        try:
            while waiting:
                kind, message = waiting.pop()
                inside = _INSIDE.get(kind, {})
                waiting += [(inside[number], value) for number, value in fields(message) if number in inside]
                if any(one == "data elsewhere" for one, _ in waiting):
                    raise ValueError("it has numbers that lie in other files")
        finally:
            message = None  # type: ignore[assignment] # which would keep the file open
            waiting.clear()


def read_metadata(metadata: Mapping[str, str]) -> OnnxMetadata:
    """The checked metadata of a file.

    Raises:
        ValueError: an entry that is missing, is no JSON, or is larger than anything that the export writes.
        ConfigError: one that is not what it should be.
    """
    missing = [name for name in ("scenes", "heads", "inputs", "features") if name not in metadata]
    if missing:
        raise ValueError(f"lacks the metadata '{missing[0]}'")
    defaults = {"temperatures": "{}", "no_temperatures": '"its export says nothing of temperatures"'}
    defaults |= {"multi_label": "false", "thresholds": "{}"}
    described: dict[str, Any] = {
        name: json.loads(metadata.get(name, defaults.get(name, ""))) for name in OnnxMetadata.__dataclass_fields__
    }
    check_plain(described)
    found: OnnxMetadata = checked(described, OnnxMetadata)
    if any(len(own) != len(found.scenes) for own in found.thresholds.values()):
        raise ValueError("its thresholds are not one for each scene")
    for name, one in found.inputs.items():
        sizes = one.shape[1:]
        if not all(isinstance(size, int) and size > 0 for size in sizes) or math.prod(map(int, sizes)) > LARGEST_INPUT:
            raise ValueError(f"its input '{name}' has the shape {one.shape}")
    for head, needed in found.heads.items():
        if unknown := [name for name in needed if name not in found.inputs]:
            raise ValueError(f"its head '{head}' needs '{unknown[0]}', which is no input")
    return found
