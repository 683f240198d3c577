"""Write and read protobuf text without a schema, and compute its canonical form and digest.

This parser needs nothing installed. The tests compare it with Caffe's own parser, which decides.

The canonical form of a file is the message as JSON:
- Every field is a list of its values in order, so a field that is set once and a repeated field with one value look the
  same. Fields are sorted by name, because the order of different fields has no meaning in a protobuf message.
- A scalar is a string: a number is the shortest decimal of its float32 value ("1", "0.0005"); booleans, enum names and
  quoted text are unchanged, with every character between the quotes.
- There is no white space. Comments, line breaks and number formats (1e-5, 0.00001) make no difference.
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
    """Text that was quoted; it is never read as a number."""


def to_text(message, indent=0):
    """Return a message (a dict; repeated fields are lists, messages are dicts) as protobuf text."""
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
    """Return a scalar as protobuf text; enum values are not quoted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and key not in _ENUMS:
        return json.dumps(value)
    return str(value)


def parse(text):
    """Parse protobuf text.

    Returns:
        {field: [values]}. Values are dicts, Quoted, or a bare word or number as str.

    Raises:
        ValueError: If the text is invalid. The message states the line.
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
    """Parse a message up to its closing bracket; return (message, index of the next token)."""
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
    """Parse a scalar; return (value, index of the next token)."""
    token, _ = tokens[at]
    if token[0] not in "\"'":
        return token, at + 1
    parts = []
    while at < len(tokens) and tokens[at][0][0] in "\"'":  # adjacent strings are concatenated
        parts.append(ast.literal_eval(tokens[at][0]))
        at += 1
    return Quoted("".join(parts)), at


def canonical(message):
    """Return the canonical form (see the module docstring) of a message from `parse` or from JSON, as str."""
    return json.dumps(_canonical(message), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(message):
    """Return the SHA-256 (hex) of the canonical form."""
    return hashlib.sha256(canonical(message).encode()).hexdigest()


def _canonical(value):
    """Return a value in canonical form, as JSON types."""
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
    """Return the shortest decimal that has the same float32 value."""
    single = struct.unpack("<f", struct.pack("<f", number))[0]
    for digits in range(1, 10):
        text = f"{single:.{digits}g}"
        if struct.unpack("<f", struct.pack("<f", float(text)))[0] == single:
            return format(float(text), ".9g")
    raise AssertionError(number)
