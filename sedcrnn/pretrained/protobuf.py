"""Bytes of a protobuf message, as Caffe and ONNX files are -> its fields, without a schema and without copying."""

from collections.abc import Iterator

# Wire types (protobuf.dev/programming-guides/encoding), and the bytes of those of one size.
_VARINT, _BYTES, _FIXED = 0, 2, {1: 8, 5: 4}


def fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each field of a protobuf message that holds bytes; single numbers are passed over."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        wire_type = key & 7
        if wire_type == _VARINT:
            _, position = _varint(message, position)
            continue
        if wire_type == _BYTES:
            size, position = _varint(message, position)
        elif wire_type in _FIXED:
            size = _FIXED[wire_type]
        else:
            raise ValueError(f"not a protobuf message: a field of the wire type {wire_type}")
        if position + size > len(message):
            raise ValueError("it ends in the middle")
        if wire_type == _BYTES:
            yield key >> 3, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """The whole number that starts at a position, seven bits to a byte, lowest first; and the position after it."""
    value = 0
    for index, byte in enumerate(message[position : position + 10]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    raise ValueError("it ends in the middle of a number, or is no protobuf message")


def varints(packed: memoryview) -> Iterator[int]:
    """The whole numbers of a packed field."""
    position = 0
    while position < len(packed):
        number, position = _varint(packed, position)
        yield number
