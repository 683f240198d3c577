"""The encoding of Caffe's files, as far as needed to leave the long runs of numbers where they lie.

`lift` copies a file without the numbers of its blobs: a reference of a few bytes stands for each run, so that protobuf
parses kilobytes instead of half a gigabyte and a value is read only when somebody asks for it. `lay` puts them back.

Source: protobuf's encoding (tag, length, value); Caffe 1.0's field numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import DecodeError

from caffemodel.schema import ANY_ENCODING

# message -> field number -> the message inside; only the ways that lead to blobs
_INSIDE = {
    "NetParameter": {100: "LayerParameter", 2: "V1LayerParameter"},
    "LayerParameter": {7: "BlobProto"},
    "V1LayerParameter": {1: "V0LayerParameter", 6: "BlobProto"},
    "V0LayerParameter": {50: "BlobProto"},
    "SolverState": {3: "BlobProto"},
    "BlobProto": {},
}
_WIDTH = {5: 4, 6: 4, 8: 8, 9: 8}  # a blob's data, diff, double_data, double_diff: bytes per number
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Runs:
    """The numbers of a file's blobs, each under a reference that stands in the message's `data`."""

    def __init__(self) -> None:
        self._runs: list[memoryview] = []

    def add(self, run) -> bytes:
        """Keep a run (anything with contiguous bytes) and return its reference."""
        self._runs.append(memoryview(run).cast("B"))
        return b"@%08x" % (len(self._runs) - 1)  # 9 bytes: never a whole number of floats

    def get(self, reference: bytes) -> memoryview:
        """The bytes of a run; none for an empty reference."""
        return self._runs[int(bytes(reference[1:]), 16)] if reference else memoryview(b"")


def _varint(view: memoryview, at: int) -> tuple[int, int]:
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
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _fields(view: memoryview) -> Iterator[tuple[int, int, int, int, int]]:
    """(number, wire type, start, start of the value, end) of each field of a message."""
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


def lift(view: memoryview, message: str, runs: Runs) -> bytes:
    """The encoded message with references for the numbers of its blobs, which go to `runs`.

    Numbers that are not one packed run (old writers, several chunks) are brought together first.
    Raises DecodeError for what is no such message, or cut off.
    """
    if message == "BlobProto":
        view = _packed(view)
    inside, out, copied = _INSIDE[message], bytearray(), 0
    for number, wire, start, value, end in _fields(view):
        if wire == _BYTES and number in inside:
            found = lift(view[value:end], inside[number], runs)
        elif message == "BlobProto" and number in _WIDTH:
            if wire != _BYTES or (end - value) % _WIDTH[number]:
                raise DecodeError("a blob's numbers are cut off")
            found = runs.add(view[value:end])
        else:
            continue
        out += view[copied:start]
        out += _encoded(number << 3 | _BYTES) + _encoded(len(found)) + found
        copied = end
    out += view[copied:]
    return bytes(out)


def _packed(view: memoryview) -> memoryview:
    """A blob with each kind of numbers as one packed run."""
    seen = set()
    for number, wire, *_ in _fields(view):
        if number in _WIDTH and (wire != _BYTES or number in seen):
            again = ANY_ENCODING["BlobProto"]()
            again.ParseFromString(bytes(view))
            return memoryview(again.SerializeToString())
        seen.add(number)
    return view


def lay(skeleton: bytes, message: str, runs: Runs) -> list[bytes | memoryview]:
    """The pieces of the encoded message, in order, with the runs in the place of their references."""
    inside, pieces, view = _INSIDE[message], [], memoryview(skeleton)
    for number, wire, start, value, end in _fields(view):
        if wire == _BYTES and number in inside:
            found = lay(view[value:end], inside[number], runs)
        elif message == "BlobProto" and number in _WIDTH:
            found = [runs.get(view[value:end])]
        else:
            pieces.append(view[start:end])
            continue
        pieces.append(_encoded(number << 3 | _BYTES) + _encoded(sum(map(len, found))))
        pieces += found
    return pieces
