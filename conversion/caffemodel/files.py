"""Opening what should be a model file, telling what it is instead, and writing files whole or not at all."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError

from caffemodel.errors import CaffemodelError
from caffemodel.schema import FAST
from caffemodel.wire import Runs, lift

HDF5 = b"\x89HDF\r\n\x1a\n"
_MAGIC = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"PK\x03\x04": "a ZIP archive (a PyTorch file?)",
    b"\x1f\x8b": "a gzip archive",
    b"\x80\x02": "a Python pickle",
    HDF5: "an HDF5 file",
}
_HEAD = 4096  # bytes looked at to tell what a file is


def head(path: Path) -> bytes:
    """The first bytes of a file. CaffemodelError when there is none to read, or it is empty."""
    try:
        with open(path, "rb") as file:
            start = file.read(_HEAD)
    except FileNotFoundError:
        raise CaffemodelError(f"{path}: expected a model file, got no such file") from None
    except IsADirectoryError:
        raise CaffemodelError(f"{path}: expected a model file, got a folder") from None
    except OSError as error:
        raise CaffemodelError(f"{path}: expected a readable model file, got: {error.strerror}") from None
    if not start:
        raise CaffemodelError(f"{path}: expected a model file, got an empty one")
    return start


def kind_of(path: Path) -> str:
    """ "hdf5", "safetensors", "solverstate", "text" or "caffemodel" (whatever is left), by content."""
    start = head(path)
    if start.startswith(HDF5):
        return "hdf5"
    if len(start) > 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 27:
        return "safetensors"
    if start[0] == 0x08:  # field 1 as a number: SolverState.iter; in a NetParameter field 1 is text
        return "solverstate"
    if not any(byte < 9 or 13 < byte < 32 for byte in start):
        return "text"
    return "caffemodel"


def _expected(path: Path, what: str) -> str:
    """The error for a file that is not `what`."""
    start = head(path)
    for magic, name in _MAGIC.items():
        if start.startswith(magic):
            return f"{path}: expected {what}, got {name}"
    kind = kind_of(path)
    if kind == "text":
        text = start.decode("latin-1")
        if "layer" in text or "input:" in text or "net:" in text or "base_lr" in text:
            return f"{path}: expected {what}, got a prototxt: it describes a network, it holds no weights"
        return f"{path}: expected {what}, got text"
    if kind == "safetensors":
        return f"{path}: expected {what}, got a safetensors file"
    if kind == "solverstate":
        if what == "a solverstate":
            return f"{path}: expected {what}, got a truncated or damaged one, or something else"
        return f"{path}: expected {what}, got something else (a solverstate?)"
    size = path.stat().st_size
    if start[0] in (0x0A, 0x12, 0x1A) or start.startswith(b"\xa2\x06"):  # how a NetParameter begins
        return f"{path}: expected {what}, got a truncated or damaged one ({size} bytes)"
    return f"{path}: expected {what}, got something else ({size} bytes)"


def parse(path: Path, message: str, what: str):
    """A protobuf file as (message, its numbers). CaffemodelError says what the file is instead."""
    start = head(path)
    if kind_of(path) in ("hdf5", "safetensors", "text") or any(start.startswith(magic) for magic in _MAGIC):
        raise CaffemodelError(_expected(path, what))
    found, runs = FAST[message](), Runs()
    try:
        with open(path, "rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # stays open as long as the runs do
        found.ParseFromString(lift(memoryview(data), message, runs))
    except (DecodeError, OSError, ValueError):
        raise CaffemodelError(_expected(path, what)) from None
    return found, runs


def wrong(path: Path, what: str) -> CaffemodelError:
    """The error for a file that parses but isn't `what`."""
    return CaffemodelError(_expected(path, what))


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path in the same folder, renamed to `path` when the block ends well, removed when it does not."""
    path = Path(path)
    if not path.parent.is_dir():
        raise CaffemodelError(f"{path}: expected an existing folder to write into, got {path.parent}")
    if path.is_dir():
        raise CaffemodelError(f"{path}: expected a file to write, got a folder")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise CaffemodelError(f"{path}: could not be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
