"""Separate the long runs of numbers in Caffe's encoded files from the rest of the message.

`detach_blobs` copies a message and replaces each run of numbers by a reference of a few bytes. protobuf then parses
kilobytes instead of half a gigabyte, and a value is read only when it is used. `reattach_blobs` puts the numbers back.
This is our own code because protobuf's parsers copy every number.

Source: protobuf's encoding (tag, length, value); Caffe 1.0's field numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from google.protobuf.message import DecodeError

from caffemodel.schema import ANY_ENCODING, PARAMETERS

# message -> field number -> the nested message; only the fields that lead to blobs
_INSIDE = {
    "NetParameter": {100: "LayerParameter", 2: "V1LayerParameter"},
    "LayerParameter": {7: "BlobProto"},
    "V1LayerParameter": {1: "V0LayerParameter", 6: "BlobProto"},
    "V0LayerParameter": {50: "BlobProto"},
    "SolverState": {3: "BlobProto"},
    "BlobProto": {},
}
# bytes per number of a blob's data, diff, double_data, double_diff, and NVIDIA Caffe's raw_data and raw_diff
_WIDTH = {5: 4, 6: 4, 8: 8, 9: 8, 12: 1, 13: 1}
# fields that a layer may state only once
_ONCE = {
    "LayerParameter": {number for _, number, _ in PARAMETERS},
    "V1LayerParameter": {number for _, _, number in PARAMETERS if number},
}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class NotCaffes(DecodeError):
    """The file uses another program's schema with the same field numbers. The text names the program."""


class BlobStore:
    """The numbers of a file's blobs, by the reference that replaces them in the message."""

    def __init__(self) -> None:
        self._runs: list[memoryview] = []

    def add(self, run) -> bytes:
        """Store a run of numbers (any object with contiguous bytes) and return its reference."""
        self._runs.append(memoryview(run).cast("B"))
        return b"@%08x" % (len(self._runs) - 1)  # 9 bytes, so it is never a whole number of floats

    def get(self, reference: bytes | memoryview) -> memoryview:
        """Return the bytes of a run; empty for an empty reference."""
        return self._runs[int(bytes(reference[1:]), 16)] if reference else memoryview(b"")


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """Decode the variable-length integer at a position; return (value, position after it)."""
    value = shift = 0
    while True:
        if at >= len(view) or shift > 63:
            raise DecodeError("a number is cut off")
        byte = view[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _encoded(value: int) -> bytes:
    """Encode a variable-length integer."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _fields(view: memoryview) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield (number, wire type, start, start of the value, end) of each field of a message."""
    at = 0
    while at < len(view):
        start = at
        tag, at = _varint(view, at)
        number, wire = tag >> 3, tag & 7
        value = at
        if wire == _VARINT:
            _, at = _varint(view, at)
        elif wire == _BYTES:
            size, value = _varint(view, at)
            at = value + size
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise DecodeError(f"expected a field, got wire type {wire}")
        if at > len(view) or not number:
            raise DecodeError("a field is cut off")
        yield number, wire, start, value, at


def leading_fields(view: memoryview, limit: int = 32) -> list[tuple[int, int]]:
    """Return (number, wire type) of a message's first fields, to identify a file; stop at the first invalid field."""
    seen: list[tuple[int, int]] = []
    with contextlib.suppress(DecodeError):
        for number, wire, *_ in _fields(view):
            seen.append((number, wire))
            if len(seen) == limit:
                break
    return seen


def detach_blobs(view: memoryview, message: str, store: BlobStore) -> bytes:
    """Copy an encoded message and replace the numbers of its blobs by references.

    Numbers that are not one packed run (from old writers, or in several chunks) are packed first.

    Args:
        view: The encoded message.
        message: Its name in the schema.
        store: Receives the numbers.

    Returns:
        The encoded message with references instead of the numbers.

    Raises:
        DecodeError: If the bytes are another message or are cut off, or a layer's settings occur twice.
    """
    if message == "BlobProto":
        view = _packed(view)
    inside, out, copied, settings = _INSIDE[message], bytearray(), 0, set()
    for number, wire, start, value, end in _fields(view):
        if wire == _BYTES and number in inside:
            encoded = detach_blobs(view[value:end], inside[number], store)
        elif message == "BlobProto" and number in _WIDTH:
            if wire != _BYTES or (end - value) % _WIDTH[number]:
                raise DecodeError("a blob's numbers are cut off")
            encoded = store.add(view[value:end])
        else:
            # protobuf would merge the two, but a settings field of FAST is bytes and keeps only the last
            if wire == _BYTES and number in _ONCE.get(message, ()):
                if number in settings:
                    raise DecodeError("a layer's settings occur twice")
                settings.add(number)
            continue
        out += view[copied:start]
        out += _encoded(number << 3 | _BYTES) + _encoded(len(encoded)) + encoded
        copied = end
    out += view[copied:]
    return bytes(out)


def _packed(view: memoryview) -> memoryview:
    """Return an encoded blob in which each numeric field is one packed run."""
    seen = set()
    for number, wire, *_ in _fields(view):
        if number == 5 and wire == _VARINT:
            raise NotCaffes("C3D")  # in C3D's schema, field 5 is a blob's width and field 6 its data
        if number in _WIDTH and (wire != _BYTES or number in seen):
            blob = ANY_ENCODING["BlobProto"]()
            blob.ParseFromString(bytes(view))
            return memoryview(blob.SerializeToString())
        seen.add(number)
    return view


def reattach_blobs(skeleton: bytes | memoryview, message: str, store: BlobStore) -> list[bytes | memoryview]:
    """Return the pieces of the encoded message, in order, with the numbers instead of their references.

    Args:
        skeleton: A message that `detach_blobs` returned.
        message: Its name in the schema.
        store: Holds the numbers.
    """
    inside, pieces, view = _INSIDE[message], [], memoryview(skeleton)
    for number, wire, start, value, end in _fields(view):
        if wire == _BYTES and number in inside:
            encoded = reattach_blobs(view[value:end], inside[number], store)
        elif message == "BlobProto" and number in _WIDTH:
            encoded = [store.get(view[value:end])]
        else:
            pieces.append(view[start:end])
            continue
        pieces.append(_encoded(number << 3 | _BYTES) + _encoded(sum(map(len, encoded))))
        pieces += encoded
    return pieces
