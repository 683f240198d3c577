"""Read upstream's solver and apply the changes that the user or the machine requires, with a line for each."""

import importlib.util
from functools import cache
from pathlib import Path

from google.protobuf import text_format


class BadSolver(ValueError):
    """A solver, net or override does not fit Caffe's schema; the message says where."""


@cache
def schema():
    """Return the module caffe_pb2, without importing Caffe itself."""
    caffe = Path(importlib.util.find_spec("caffe").origin).parent
    spec = importlib.util.spec_from_file_location("caffe_ref_caffe_pb2", caffe / "proto" / "caffe_pb2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path, message):
    """Merge a protobuf text file into a message and return the message.

    Raises:
        BadSolver: If the file is not valid protobuf text of this message.
    """
    try:
        return text_format.Merge(Path(path).read_text(errors="surrogateescape"), message)
    except text_format.ParseError as error:
        raise BadSolver(f"{path}: {error}") from None


def _shown(message, field):
    """Return a field's value as text."""
    if field.label == field.LABEL_REPEATED:
        return " ".join(str(value) for value in getattr(message, field.name)) or "not set"
    if not message.HasField(field.name):
        return "not set"
    value = getattr(message, field.name)
    return field.enum_type.values_by_number[value].name if field.enum_type else str(value)


MAX_SEED = 2**32 - 1  # numpy's largest seed; Caffe and numpy get the same number


def seed_of(text):
    """Return CAFFE_SEED as a number.

    Raises:
        BadSolver: If Caffe or numpy would reject it.
    """
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_SEED):
        raise BadSolver(f"CAFFE_SEED: expected a whole number, 0..{MAX_SEED}, got {text!r}")
    return int(text)


def changed(solver, overrides="", seed="", cpu=False):
    """Change a SolverParameter in place. A repeated field is replaced, not extended.

    Args:
        solver: The SolverParameter.
        overrides: Fields to replace, as protobuf text.
        seed: The random_seed, as text; "": no change.
        cpu: Set CPU mode.

    Returns:
        A line for each change: "CAFFE_SOLVER: max_iter: 2 (was 50000)".

    Raises:
        BadSolver: If the overrides or the seed are invalid.
    """
    parts = [(overrides, "CAFFE_SOLVER")]
    if seed:
        parts.append((f"random_seed: {seed_of(seed)}", "CAFFE_SEED"))
    if cpu:
        parts.append(("solver_mode: CPU", "no GPU"))
    lines = []
    for text, source in parts:
        try:
            change = text_format.Merge(text, schema().SolverParameter())
        except text_format.ParseError as error:
            raise BadSolver(
                f"{source}: expected fields of Caffe's solver, like 'max_iter: 2', got {text!r} ({error})"
            ) from None
        for field, _ in change.ListFields():
            was, now = _shown(solver, field), _shown(change, field)
            solver.ClearField(field.name)
            if was != now:
                lines.append(f"{source}: {field.name}: {now} (was {was})")
        solver.MergeFrom(change)
    return lines


def to_text(solver):
    """Return a SolverParameter as protobuf text."""
    return text_format.MessageToString(solver)
