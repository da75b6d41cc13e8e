"""Caffe's .caffemodel -> arrays by layer; a reader of the few fields of caffe.proto that hold weights.

A .caffemodel is a `NetParameter` in protobuf's wire format (protobuf.dev/programming-guides/encoding): fields of a
number, a wire type and a value. The numbers below are those of BVLC's caffe.proto; other fields are passed over.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types

_LAYERS = {100: (1, 7), 2: (4, 6)}  # of NetParameter: layer and, before 2014, layers -> (name, blobs) in each
_DIMENSIONS = (1, 2, 3, 4)  # of BlobProto, before 2014: num, channels, height, width
_DATA, _SHAPE = 5, 7  # of BlobProto
_DIM = 1  # of BlobShape


def read_caffe(path: Path) -> dict[str, np.ndarray]:
    """`<layer>.weight` and `<layer>.bias`, float32, as views of the file; kernels are (out, in, height, width).

    Raises:
        ValueError: the file is no protobuf message, or ends in the middle of one.
    """
    arrays: dict[str, np.ndarray] = {}
    for number, layer in _fields(np.memmap(path, mode="r").data):
        if number not in _LAYERS or not isinstance(layer, memoryview):
            continue
        name_number, blobs_number = _LAYERS[number]
        fields = list(_fields(layer))
        name = next((bytes(_message(value)).decode() for key, value in fields if key == name_number), "")
        blobs = [_blob(_message(value)) for key, value in fields if key == blobs_number]
        for kind, blob in zip(("weight", "bias"), blobs, strict=False):
            arrays[f"{name}.{kind}"] = blob.reshape(-1) if kind == "bias" else blob
    return arrays


def _blob(message: memoryview) -> np.ndarray:
    """One BlobProto: its shape in either form, and its numbers, packed or one by one."""
    old: dict[int, int] = {}
    shape: list[int] | None = None
    pieces: list[memoryview] = []
    for number, value in _fields(message):
        if number == _DATA:
            pieces.append(_message(value))
        elif number == _SHAPE:
            shape = [size for key, sizes in _fields(_message(value)) if key == _DIM for size in _varints(sizes)]
        elif number in _DIMENSIONS and isinstance(value, int):
            old[number] = value
    if shape is None:
        shape = [old.get(number, 1) for number in _DIMENSIONS]
    data = np.frombuffer(pieces[0] if len(pieces) == 1 else b"".join(pieces), "<f4")
    if data.size != np.prod(shape, dtype=object):
        raise ValueError(f"a blob of the shape {tuple(shape)} has {data.size} numbers")
    return data.reshape(shape)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of each field of a message; varints are int, all else is bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if wire_type == _BYTES:
            size, place = _varint(message, place)
        elif wire_type in (_FIXED32, _FIXED64):
            size = 4 if wire_type == _FIXED32 else 8
        else:
            raise ValueError(f"not a protobuf message: a field of the wire type {wire_type}")
        if place + size > len(message):
            raise ValueError("it ends in the middle")
        yield number, message[place : place + size]
        place += size


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """The whole number that starts at a place, seven bits to a byte, lowest first; and the place behind it."""
    value = shift = 0
    while True:
        if place >= len(message):
            raise ValueError("it ends in the middle")
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
        if shift >= 70:
            raise ValueError("not a protobuf message: a number of more than ten bytes")


def _varints(value: int | memoryview) -> Iterator[int]:
    """The whole numbers of a repeated field: one by one, or packed."""
    if isinstance(value, int):
        yield value
        return
    place = 0
    while place < len(value):
        number, place = _varint(value, place)
        yield number


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("not a caffemodel: a number where bytes belong")
    return value
