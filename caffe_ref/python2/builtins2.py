"""Builtins that differ in Python 2, for translated modules only."""

import builtins
import functools
import importlib
import math
import sys
from decimal import ROUND_HALF_UP, Decimal

_BASES = {int: "", float: "", bool: "", complex: ""}  # numbers sort before everything except None


def _rank(value):
    """Return a sort key for Python 2's order of different types: None, numbers, then by the type's name."""
    return (0, "") if value is None else (1, _BASES.get(type(value), type(value).__name__))


def cmp(a, b):
    """Compare two values, of different types by Python 2's order; return -1, 0 or 1."""
    try:
        return (a > b) - (a < b)
    except TypeError:
        rank_a, rank_b = _rank(a), _rank(b)
        if rank_a != rank_b:
            return -1 if rank_a < rank_b else 1
    for x, y in zip(a, b):  # sequences of the same type with items of different types
        if cmp(x, y):
            return cmp(x, y)
    return cmp(len(a), len(b))


def sorted2(iterable, cmp=None, key=None, reverse=False):
    """Sort like sorted(), with Python 2's arguments and order of different types."""
    items = list(iterable)
    sort(items, cmp, key, reverse)
    return items


def sort(items, cmp=None, key=None, reverse=False):
    """Sort a list in place with Python 2's arguments; call the own sort method of any other object."""
    if not isinstance(items, list):
        given = {"cmp": cmp, "key": key, "reverse": reverse or None}
        return items.sort(**{name: value for name, value in given.items() if value is not None})
    if cmp is None:
        kept = list(items)
        try:
            return items.sort(key=key, reverse=reverse)
        except TypeError:
            items[:] = kept
    order = functools.cmp_to_key(cmp or globals()["cmp"])
    items.sort(key=order if key is None else lambda item: order(key(item)), reverse=bool(reverse))


def round2(number, digits=0):
    """Round half away from zero, by the number's exact value; return a float."""
    number = float(number)
    if not math.isfinite(number):
        return number
    return float(Decimal(number).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def open2(name, mode="r", *rest, **named):
    """Open a file like Python 2: bytes of text files are read and written unchanged, and only "\\n" ends a line."""
    if "b" not in mode and not rest and not named:
        named = {"encoding": "utf-8", "errors": "surrogateescape", "newline": "\n"}
        mode = mode.replace("U", "") or "r"
    return builtins.open(name, mode, *rest, **named)


def namespace():
    """Return the __builtins__ of a translated module."""
    changed = {
        "cmp": cmp,
        "file": open2,
        "intern": sys.intern,
        "open": open2,
        "reduce": functools.reduce,
        "reload": importlib.reload,
        "round": round2,
        "sorted": sorted2,
        "unichr": chr,
        "unicode": str,
        "basestring": str,
        "long": int,
        "xrange": range,
    }
    return {**vars(builtins), **changed}
