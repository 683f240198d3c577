"""Damaged copies of files, as many as wanted, each the same for the same seed.

for name, content in mutations(path.read_bytes(), n=1000, seed=0, form="protobuf"): ..
"""

from __future__ import annotations

import contextlib
import random
import re
import struct
from collections.abc import Iterator

HUGE = (0, 1, 127, 128, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def _bit_flips(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _truncation(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def _insertion(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content) + 1)
    content[at:at] = rng.randbytes(rng.choice((1, 2, 7, 100, 5000)))


def _deletion(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content))
    del content[at : at + rng.choice((1, 2, 7, 100, 5000))]


def _zeros(content: bytearray, rng: random.Random) -> None:
    at, size = rng.randrange(len(content)), rng.choice((1, 4, 8, 512))
    content[at : at + size] = bytes(len(content[at : at + size]))


def _repetition(content: bytearray, rng: random.Random) -> None:
    at, size = rng.randrange(len(content)), rng.choice((1, 8, 100, 5000))
    content[at:at] = content[at : at + size] * rng.choice((1, 2, 20))


def _number(content: bytearray, rng: random.Random) -> None:
    """Replace a 2-, 4- or 8-byte number by one that is probably out of range."""
    width = rng.choice((2, 4, 8))
    at = rng.randrange(max(1, len(content) - width))
    content[at : at + width] = (rng.choice(HUGE) & (1 << 8 * width) - 1).to_bytes(width, rng.choice(("little", "big")))


def _early_number(content: bytearray, rng: random.Random) -> None:
    """Replace a number in the first 512 bytes, where files keep sizes and versions."""
    width = rng.choice((1, 2, 4, 8))
    at = rng.randrange(max(1, min(512, len(content) - width)))
    content[at : at + width] = (rng.choice(HUGE) & (1 << 8 * width) - 1).to_bytes(width, "little")


def _nothing_but_noise(content: bytearray, rng: random.Random) -> None:
    keep = rng.choice((4, 8, 64, 1024))
    content[keep:] = rng.randbytes(min(len(content), 4096))


GENERAL = (_bit_flips, _truncation, _insertion, _deletion, _zeros, _repetition, _number, _early_number,
           _nothing_but_noise)  # fmt: skip


def varint(value: int) -> bytes:
    """Encode a number as protobuf does."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(content) and shift < 70:
        value |= (content[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if content[at - 1] < 128:
            return value, at
    raise ValueError


def protobuf_fields(content: bytes, depth: int = 3) -> list[tuple[int, int, int]]:
    """Return (start of the tag, start of the length or value, end) of each field, nested fields included."""
    spans = []
    stack = [(0, len(content), depth)]
    while stack:
        at, end, level = stack.pop()
        inside = []
        try:
            while at < end:
                start = at
                tag, at = _read_varint(content, at)
                value = at
                if tag & 7 == 2:
                    size, at = _read_varint(content, at)
                    at += size
                    inside.append((at - size, at, level - 1))
                else:
                    at = {0: _read_varint(content, at)[1], 1: at + 8, 5: at + 4}[tag & 7]
                if at > end or not tag >> 3:
                    raise ValueError
                spans.append((start, value, at))
        except (ValueError, KeyError):
            continue  # not a message: text or numbers
        if level > 1:
            stack += [span for span in inside if span[1] - span[0] < 1 << 16]
    return spans


def _field(content: bytearray, rng: random.Random) -> tuple[int, int, int]:
    return rng.choice(protobuf_fields(bytes(content)) or [(0, 0, len(content))])


def _tag(content: bytearray, rng: random.Random) -> None:
    start, value, _ = _field(content, rng)
    content[start:value] = varint(rng.choice((0, 1, 2, 3, 5, 7, 8, 100, 106, 121, 2**29 - 1)) << 3 | rng.randrange(8))


def _length(content: bytearray, rng: random.Random) -> None:
    _, value, _ = _field(content, rng)
    with contextlib.suppress(ValueError):
        size, after = _read_varint(content, value)
        content[value:after] = varint(rng.choice((0, 1, max(0, size - 1), size + 1, 2 * size, *HUGE)))


def _field_again(content: bytearray, rng: random.Random) -> None:
    start, _, end = _field(content, rng)
    content[end:end] = content[start:end] * rng.choice((1, 1, 3, 1000 if end - start < 100 else 2))


def _field_gone(content: bytearray, rng: random.Random) -> None:
    start, _, end = _field(content, rng)
    del content[start:end]


def _deep(content: bytearray, rng: random.Random) -> None:
    """Insert messages nested in messages, or groups, up to thousands deep."""
    start, _, _ = _field(content, rng)
    depth, number = rng.choice((10, 200, 5000)), rng.choice((1, 2, 7, 100))
    if rng.random() < 0.5:
        content[start:start] = varint(number << 3 | 3) * depth + varint(number << 3 | 4) * depth
        return
    inner = b""
    for _ in range(min(depth, 1000)):
        inner = varint(number << 3 | 2) + varint(len(inner)) + inner
    content[start:start] = inner


def _many_numbers(content: bytearray, rng: random.Random) -> None:
    start, _, _ = _field(content, rng)
    content[start:start] = (varint(rng.choice((5, 6, 7, 8)) << 3 | 5) + struct.pack("<f", 1.0)) * rng.choice((3, 3000))


PROTOBUF = (_tag, _length, _field_again, _field_gone, _deep, _many_numbers)


def _text(content: bytearray, rng: random.Random) -> None:
    """Damage a line of a text file, or write the file in another encoding."""
    lines = bytes(content).splitlines(keepends=True) or [b""]
    at = rng.randrange(len(lines))
    line = lines[at].rstrip()
    lines[at] = rng.choice((
        b"", line + line, line + b" 1 2\n", line.replace(b" ", b","), line.replace(b" ", b"\t") + b"\r\n", b"# " + line,
        b"\0" + line, line.rpartition(b" ")[0] + b"\n", line + b"9" * 5000 + b"\n", b"x" * 300_000 + b" 1\n",
        line.rpartition(b" ")[0] + rng.choice((b" nan", b" 1e999", b" 0x10", b" 1_0", b" -0", "  ١".encode())) + b"\n",
        b"../" * 2000 + line, b"/dev/null 1\n", b"\xff\xfe" + line, line.replace(b".", b".." * 200) + b"\n",
    ))  # fmt: skip
    content[:] = b"".join(lines)
    encoding = rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1140"))
    with contextlib.suppress(UnicodeError):
        content[:] = content.decode().encode(encoding)


_JSON_VALUES = (
    b"null",
    b"[]",
    b"{}",
    b"-1",
    b"1e999",
    b"NaN",
    b'"x"',
    b"9" * 5000,
    b"[" * 100_000,
    b'"\\ud800"',
    b"true",
)


def _json_value(content: bytearray, rng: random.Random) -> None:
    """Replace a value of a JSON file by one of another type or size."""
    values = list(re.finditer(rb'(?<=: )("[^"]*"|[-\w.+]+)|(?<=\n )("[^"]*")', bytes(content)))
    if values:
        chosen = rng.choice(values)
        content[chosen.start() : chosen.end()] = rng.choice(_JSON_VALUES)


def _header(content: bytearray, rng: random.Random) -> None:
    """Damage the JSON header of a safetensors file."""
    size = min(int.from_bytes(content[:8], "little"), len(content) - 8)
    header = bytearray(content[8 : 8 + size])
    if not header:
        return
    if rng.random() < 0.3:
        old, new = rng.choice(((b"F32", b"F64"), (b"F32", b"XYZ"), (b'"shape"', b'"shap"'), (b"[", b"[-1,"),
                               (b"}", b""), (b'"arch"', b'"ark"'), (b"true", b"maybe")))  # fmt: skip
        header = header.replace(old, new, rng.choice((1, 1000)))
    else:
        rng.choice((_bit_flips, _deletion, _insertion, _repetition))(header, rng)
    content[: 8 + size] = len(header).to_bytes(8, "little") + header


FORMS = {"bytes": GENERAL, "protobuf": (*GENERAL, *PROTOBUF, *PROTOBUF), "hdf5": (*GENERAL, _early_number, _number),
         "safetensors": (*GENERAL, _header, _header, _header), "text": (*GENERAL, *[_text] * 9),
         "json": (*GENERAL, *[_json_value] * 9)}  # fmt: skip


def mutations(content: bytes, n: int, seed: int = 0, form: str = "bytes") -> Iterator[tuple[str, bytes]]:
    """Make damaged copies of a file.

    Args:
        content: The whole file.
        n: The number of copies.
        seed: The same seed gives the same copies.
        form: "bytes" (for any kind of file), "protobuf", "hdf5", "safetensors", "text" or "json": adds damage that is
            specific to the form, such as wrong lengths, tags, nesting, headers, lines and values.

    Yields:
        (description of the damage, the damaged content).
    """
    rng = random.Random(f"{seed} {form}")
    for i in range(n):
        mutated, done = bytearray(content), []
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            mutator = rng.choice(FORMS[form])
            if mutated:
                mutator(mutated, rng)
                done.append(mutator.__name__.strip("_"))
        yield f"{i} {' + '.join(done)}", bytes(mutated)
