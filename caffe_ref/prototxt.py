"""Protobuf text without a schema: write it, read it, and a canonical form with a digest.

Caffe's own parser has the last word (the tests hold this one to it); this one needs nothing installed.

Canonical form of a file: the message as JSON, in which
- every field is a list of its values in their order (so a field set once and a repeated one with one value look alike),
  and fields are sorted by name: the order of different fields says nothing in a protobuf message;
- a scalar is a string: numbers as the shortest decimal of their float32 value ("1", "0.0005"), booleans and enum
  names as they are, quoted text as it is, with every character between the quotes;
- no white space. Comments, line breaks and the way a number is written (1e-5, 0.00001) leave no trace.
The digest is the SHA-256 of that JSON in UTF-8.
"""

import ast
import hashlib
import json
import re
import struct

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|([A-Za-z_][\w.]*)|([-+]?[\d.][\w.+-]*)|(.)"""
)


class Quoted(str):
    """Text that stood between quotes: never read as a number."""


def to_text(message, indent=0):
    """The message (dict; repeated fields are lists, messages are dicts) as protobuf text."""
    pad, lines = "  " * indent, []
    for key, value in message.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                lines.append(f"{pad}{key} {{\n{to_text(item, indent + 1)}{pad}}}\n")
            else:
                lines.append(f"{pad}{key}: {_scalar_text(key, item)}\n")
    return "".join(lines)


_ENUMS = {"phase", "pool", "solver_mode", "solver_type", "norm_region"}


def _scalar_text(key, value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and key not in _ENUMS:
        return json.dumps(value)
    return str(value)


def parse(text):
    """Protobuf text -> {field: [values]}; values are dicts, Quoted, or the bare word or number as str.

    Raises ValueError with the line where the text stops being protobuf text.
    """
    tokens = []
    for match in _TOKEN.finditer(text):
        quoted, word, number, other = match.groups()
        token = quoted or word or number or other
        if token:
            tokens.append((token, text.count("\n", 0, match.start()) + 1))
    message, rest = _message(tokens, 0, None)
    assert rest == len(tokens)
    return message


def _message(tokens, at, closing):
    message = {}
    while at < len(tokens):
        token, line = tokens[at]
        if token == closing:
            return message, at + 1
        if not re.fullmatch(r"[A-Za-z_]\w*", token):
            raise ValueError(f"line {line}: expected a field name, got {token!r}")
        at += 1
        after = tokens[at][0] if at < len(tokens) else None
        if after == ":":
            at += 1
            after = tokens[at][0] if at < len(tokens) else None
        if after in ("{", "<"):
            value, at = _message(tokens, at + 1, "}" if after == "{" else ">")
        elif after is None or tokens[at - 1][0] != ":":
            raise ValueError(f"line {line}: expected a value or {{ after {token!r}, got {after!r}")
        else:
            value, at = _scalar(tokens, at)
        message.setdefault(token, []).append(value)
        if at < len(tokens) and tokens[at][0] in ",;":
            at += 1
    if closing:
        raise ValueError(f"expected {closing}, got the end of the text")
    return message, at


def _scalar(tokens, at):
    token, _ = tokens[at]
    if token[0] not in "\"'":
        return token, at + 1
    parts = []
    while at < len(tokens) and tokens[at][0][0] in "\"'":  # neighbouring strings are one
        parts.append(ast.literal_eval(tokens[at][0]))
        at += 1
    return Quoted("".join(parts)), at


def canonical(message):
    """The canonical form (see the module's docstring) of a message from `parse` or from JSON, as str."""
    return json.dumps(_canonical(message), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(message):
    """SHA-256 (hex) of the canonical form."""
    return hashlib.sha256(canonical(message).encode()).hexdigest()


def _canonical(value):
    if isinstance(value, dict):
        return {key: [_canonical(item) for item in (v if isinstance(v, list) else [v])] for key, v in value.items()}
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Quoted):
        return str(value)
    try:
        return _shortest(float(value))
    except ValueError:
        return str(value)


def _shortest(number):
    single = struct.unpack("<f", struct.pack("<f", number))[0]
    for digits in range(1, 10):
        text = f"{single:.{digits}g}"
        if struct.unpack("<f", struct.pack("<f", float(text)))[0] == single:
            return format(float(text), ".9g")
    raise AssertionError(number)
