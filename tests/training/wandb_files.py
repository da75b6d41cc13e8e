"""What W&B's offline files hold, read without W&B's server."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from sedcrnn.evaluation.result_names import EPOCH


def read_wandb(folder: Path) -> list[Any]:
    """Records of the one offline file below a folder: blocks of 32 KiB, as LevelDB's log has them, of protobufs."""
    pb = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    # W&B's process writes the file, and a run may be finished before that: with the process it is whole.
    pytest.importorskip("wandb").teardown()
    (file,) = folder.glob("*.wandb")
    data, offset, record, records = file.read_bytes(), 7, b"", []
    while offset < len(data):
        left = 32768 - offset % 32768
        if left < 7:
            offset += left
            continue
        length, kind = struct.unpack("<HB", data[offset + 4 : offset + 7])
        record += data[offset + 7 : offset + 7 + length]
        offset += 7 + length
        if kind in (1, 4):  # whole, or its last part
            records.append(pb.Record.FromString(record))
            record = b""
    return records


def items(of: Any) -> dict[str, Any]:
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in of}


def history(run: Path) -> tuple[dict[int, dict[str, Any]], list[Any]]:
    """What all sessions of a W&B run have logged, as epoch -> key -> value, and their records."""
    merged: dict[int, dict[str, Any]] = {}
    records = [record for folder in sorted((run / "wandb").glob("offline-run-*")) for record in read_wandb(folder)]
    for record in records:
        if record.WhichOneof("record_type") == "history":
            row = items(record.history.item)
            merged.setdefault(row[EPOCH], {}).update(row)
    return merged, records
