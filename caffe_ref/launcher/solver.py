"""The solver that Caffe gets: upstream's, with what the user and the machine ask for, each change named."""

import importlib.util
from functools import cache
from pathlib import Path

from google.protobuf import text_format


class BadSolver(ValueError):
    """A solver, net or override that Caffe's schema does not allow; the message says where."""


@cache
def schema():
    """caffe_pb2, without importing Caffe itself."""
    caffe = Path(importlib.util.find_spec("caffe").origin).parent
    spec = importlib.util.spec_from_file_location("caffe_ref_caffe_pb2", caffe / "proto" / "caffe_pb2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path, message):
    """Protobuf text file -> message. BadSolver where it is not."""
    try:
        return text_format.Merge(Path(path).read_text(errors="surrogateescape"), message)
    except text_format.ParseError as error:
        raise BadSolver(f"{path}: {error}") from None


def _shown(message, field):
    if field.label == field.LABEL_REPEATED:
        return " ".join(str(value) for value in getattr(message, field.name)) or "not set"
    if not message.HasField(field.name):
        return "not set"
    value = getattr(message, field.name)
    return field.enum_type.values_by_number[value].name if field.enum_type else str(value)


MOST_SEED = 2**32 - 1  # numpy's largest, which takes the same number


def seed_of(text):
    """CAFFE_SEED as a number. BadSolver for one that Caffe or numpy would refuse in their own words."""
    if not (text.isascii() and text.isdigit() and int(text) <= MOST_SEED):
        raise BadSolver(f"CAFFE_SEED: expected a whole number, 0..{MOST_SEED}, got {text!r}")
    return int(text)


def changed(solver, overrides="", seed="", cpu=False):
    """Apply overrides (protobuf text), a random_seed and CPU mode to a SolverParameter, in place.

    Returns a line for each change: "max_iter: 2 (was 50000)". A repeated field is replaced, not added to.
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
    """A SolverParameter as protobuf text."""
    return text_format.MessageToString(solver)
