"""Open model files, identify files that are something else, and write files atomically."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError

from caffemodel.errors import CaffemodelError
from caffemodel.schema import FAST
from caffemodel.wire import BlobStore, NotCaffes, detach_blobs, leading_fields
from rankiqa.data import atomic_files

HDF5 = b"\x89HDF\r\n\x1a\n"
_UNPACK = "unpack it first"
# first bytes of a file -> (description of the file, advice to the user)
_MAGIC = {
    b"\x89PNG": ("a PNG image", ""),
    b"\xff\xd8\xff": ("a JPEG image", ""),
    b"%PDF": ("a PDF file", ""),
    b"PK\x03\x04": ("a ZIP archive", _UNPACK),
    b"PK\x05\x06": ("an empty ZIP archive", ""),
    b"\x1f\x8b": ("a gzip archive", _UNPACK),
    b"BZh": ("a bzip2 archive", _UNPACK),
    b"\xfd7zXZ": ("an xz archive", _UNPACK),
    b"7z\xbc\xaf": ("a 7-Zip archive", _UNPACK),
    b"Rar!": ("a RAR archive", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("a Zstandard archive", _UNPACK),
    b"MATLAB": ("a MATLAB file (of MatConvNet?)", "give Caffe's .caffemodel"),
    b"\x93NUMPY": ("a NumPy file", "give Caffe's .caffemodel"),
    b"\x80\x02": ("a Python pickle (an old PyTorch file?)", "give Caffe's .caffemodel"),
    b"\x80\x03": ("a Python pickle", "give Caffe's .caffemodel"),
    b"\x80\x04": ("a Python pickle", "give Caffe's .caffemodel"),
    b"\x80\x05": ("a Python pickle", "give Caffe's .caffemodel"),
    b"\x04\0\0\0\x01\0\0\0": ("a Torch 7 file", "give Caffe's .caffemodel"),
    b"\x12\x01\0\0\0\0\0\0": ("an MXNet file", "give Caffe's .caffemodel"),
    b"\x7fELF": ("a program", ""),
    b"SQLite": ("an SQLite database", ""),
    HDF5: ("an HDF5 file", ""),
}
_INSTEAD = {
    "safetensors": ("a safetensors file", "weights that are converted already: --to caffemodel goes back"),
    "solver state": ("a solver state", "it holds no weights: give the .caffemodel that it names"),
    "mean image": (
        "Caffe's mean image (.binaryproto)",
        "it holds no weights, and RankIQA takes no mean: give the .caffemodel",
    ),
    "onnx": ("an ONNX model", "give Caffe's .caffemodel"),
    "tensorflow": ("a TensorFlow model", "give Caffe's .caffemodel"),
}
_HEAD = 4096  # bytes read to identify a file
_VARINT, _BYTES = 0, 2


def head(path: Path) -> bytes:
    """Return the first 4096 bytes of a file.

    Raises:
        CaffemodelError: If the file is empty or cannot be read.
    """
    try:
        if not (path.is_file() or path.is_dir()) and path.exists():  # opening a pipe would wait for its writer
            raise CaffemodelError(f"{path}: expected a model file, got a device or a pipe")
        with open(path, "rb") as file:
            start = file.read(_HEAD)
    except CaffemodelError:
        raise
    except FileNotFoundError:
        raise CaffemodelError(f"{path}: expected a model file, got no such file") from None
    except IsADirectoryError:
        raise CaffemodelError(f"{path}: expected a model file, got a folder") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CaffemodelError(f"{path}: expected a readable model file, got: {reason}") from None
    if not start:
        raise CaffemodelError(f"{path}: expected a model file, got an empty one")
    return start


def content_type(path: Path) -> str:
    """Identify the type of a file from its content.

    Returns:
        "hdf5", "safetensors", "solver state", "mean image", "onnx", "tensorflow", "text", "other" (another known
        file signature), or "caffemodel" for everything else.
    """
    start = head(path)
    if start.startswith(HDF5):
        return "hdf5"
    if any(start.startswith(magic) for magic in _MAGIC):
        return "other"
    if len(start) > 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 27:
        return "safetensors"
    if not any(byte < 9 or 13 < byte < 32 for byte in start):
        return "text"
    return _protobuf(path, start)


def _protobuf(path: Path, start: bytes) -> str:
    """Identify the protobuf message in a file from its first fields."""
    if start[0] not in (0x08, 0x0A, 0x2A, 0x3A):
        return "caffemodel"
    with mapped(path) as view:
        fields = leading_fields(view)
    field_set = set(fields)
    # In a blob, field 5 holds the numbers and field 7 the shape. In a net, both are booleans.
    if (5, _BYTES) in field_set and field_set <= {(n, _VARINT) for n in range(1, 5)} | {(5, _BYTES), (7, _BYTES)}:
        return "mean image"
    if fields[:1] == [(1, _VARINT)]:  # SolverState.iter or ONNX's ir_version; in a net, field 1 is text
        if field_set & {(7, _BYTES), (8, _BYTES)}:
            return "onnx"
        return "tensorflow" if start[2:3] == b"\x12" and b"tensorflow" in start.lower() else "solver state"
    if fields[:2] == [(1, _BYTES), (1, _BYTES)]:  # a GraphDef has several nodes here; a net has a single name
        return "tensorflow"
    return "caffemodel"


@contextlib.contextmanager
def mapped(path: Path) -> Iterator[memoryview]:
    """Map a file into memory, so that bytes are read only when they are used.

    Yields:
        A view of the whole file.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If the file is empty.
    """
    with open(path, "rb") as file:
        yield memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))  # stays open as long as a view exists


def _text(start: bytes) -> tuple[str, str]:
    """Return (description of a text file, advice to the user)."""
    text = start.decode("latin-1").lstrip("\ufeffï»¿ \t\r\n").lower()
    if text.startswith(("<!doctype html", "<html", "<?xml", "<head")):
        return "a web page (HTML)", (
            "the site answered with a page instead of the file: open the link in a browser and save the model itself"
        )
    if text.startswith("version https://git-lfs"):
        return "a Git LFS pointer", "run `git lfs pull` in its repository, or download the file that it points to"
    if "layer" in text or "input:" in text or "net:" in text or "base_lr" in text:
        return "a prototxt: it describes a network, it holds no weights", "give the .caffemodel, and this with --net"
    return "text", ""


def _expected(path: Path, what: str) -> str:
    """Return the error message for a file that is not `what`."""
    start, kind = head(path), content_type(path)
    instead, way_out = None, ""
    for magic, (name, advice) in _MAGIC.items():
        if start.startswith(magic):
            instead, way_out = name, advice
    if start.startswith(b"PK") and b"data.pkl" in start:
        instead, way_out = "a PyTorch file", "give Caffe's .caffemodel"
    if start[257:262] == b"ustar":
        instead, way_out = "a tar archive", _UNPACK
    if kind == "text" and instead is None:
        instead, way_out = _text(start)
    elif kind in _INSTEAD and kind != what.removeprefix("a "):
        instead, way_out = _INSTEAD[kind]
    if instead is None:
        size = path.stat().st_size
        starts_as_net = start[0] in (0x0A, 0x12, 0x1A) or start.startswith(b"\xa2\x06")  # a NetParameter's first tag
        damaged = f"a truncated or damaged one ({size} bytes)"
        instead = damaged if starts_as_net or kind == "solver state" else f"something else ({size} bytes)"
    return f"{path}: expected {what}, got {instead}" + (f": {way_out}" if way_out else "")


def parse(path: Path, message: str, what: str):
    """Parse a protobuf file.

    Args:
        path: The file.
        message: The name of its message in the schema: "NetParameter" or "SolverState".
        what: The expected file type, for error messages.

    Returns:
        (the message, the numbers of its blobs).

    Raises:
        CaffemodelError: If the file is something else. The message says what it is.
    """
    if content_type(path) != ("solver state" if message == "SolverState" else "caffemodel"):
        raise wrong(path, what)
    parsed, store = FAST[message](), BlobStore()
    try:
        with mapped(path) as view:
            parsed.ParseFromString(detach_blobs(view, message, store))
    except NotCaffes as error:
        raise CaffemodelError(
            f"{path}: expected {what}, got a file of {error}, whose blobs have other fields: RankIQA's are Caffe's"
        ) from None
    except (DecodeError, OSError, ValueError, RecursionError):
        raise wrong(path, what) from None
    return parsed, store


def wrong(path: Path, what: str) -> CaffemodelError:
    """Return the error for a file that is not `what`."""
    return CaffemodelError(_expected(path, what))


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Replace a file atomically: `rankiqa.data.atomic_files.replacing` with errors that name the problem.

    Yields:
        A temporary path in the same folder. It is renamed to `path` if the block succeeds and removed if it fails.

    Raises:
        CaffemodelError: If the file cannot be written.
    """
    path = Path(path)
    if not os.path.isdir(path.parent):
        raise CaffemodelError(f"{path}: expected an existing folder to write into, got {path.parent}")
    if os.path.isdir(path):
        raise CaffemodelError(f"{path}: expected a file to write, got a folder")
    try:
        with atomic_files.replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise CaffemodelError(f"{path}: could not be written: {error.strerror or error}") from None
