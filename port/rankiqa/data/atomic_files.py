"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def temporary_name(target: str | os.PathLike) -> Path:
    """Where a file is written before it is renamed: a hidden name beside it, that no list takes for an image."""
    target = Path(target)
    return target.with_name(f".{target.name}.tmp")


@contextlib.contextmanager
def replacing(target: str | os.PathLike) -> Iterator[Path]:
    """`temporary_name` of a file, renamed to it when the block ends well, removed when it does not.

    Who may read the file is as the umask says, also where a library (safetensors) keeps it to its owner.

    Raises:
        OSError: That names a file; also for a target that is no file, such as /dev/null, which a file would replace.
    """
    if _is_device(target):
        raise OSError(errno.EINVAL, "a device or a pipe, not a file", os.fspath(target))
    temporary = temporary_name(target)
    try:
        permissions = _of_a_new_file(temporary)
        yield temporary
        temporary.chmod(permissions)
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(temporary)):
            # that of a write (the disk is full) says of no file which; the hidden one is nobody's
            raise OSError(error.errno, error.strerror, os.fspath(target)) from None
        raise


def check_target(target: str | os.PathLike, inputs: Iterable[str | os.PathLike] = ()) -> None:
    """Look whether `replacing` can write a file, before the work whose results it is to take.

    Args:
        target: The file.
        inputs: Files that are read, none of which it may be.

    Raises:
        ValueError: For a folder, a device or a pipe, a folder that is missing or cannot be written, and an input.
    """
    target = Path(target)
    if target.is_dir():
        raise ValueError(f"{target}: expected a file to write, got a folder")
    if _is_device(target):
        raise ValueError(f"{target}: expected a file to write, got a device or a pipe")
    check_no_input(target, inputs)
    if not target.absolute().parent.is_dir():
        raise ValueError(f"{target}: expected a file in a folder that exists, got no such folder")
    temporary = temporary_name(target)
    if temporary.exists():  # of a run that was killed, or one that is writing
        return
    try:
        _of_a_new_file(temporary)
    except OSError as error:
        raise ValueError(f"{target}: expected a file that can be written, got: {error.strerror}") from None


def _is_device(target: str | os.PathLike) -> bool:
    """Whether a name is that of a device or a pipe, or a link to what is open, such as /dev/stdout."""
    folder = os.path.dirname(os.path.abspath(target))
    if os.path.isdir(target):
        return False
    special = os.path.exists(target) and not os.path.isfile(target)
    return special or folder in ("/dev", "/dev/fd") or folder.startswith("/proc/")


def check_no_input(target: str | os.PathLike, inputs: Iterable[str | os.PathLike]) -> None:
    """Raise ValueError for a file to write that is one of those that are read.

    Names are compared first: a link by another name is left as it is when the file of this name is replaced.
    """
    if not os.path.exists(target):
        return
    name = os.path.basename(target)
    for path in inputs:
        if os.path.basename(path) == name and os.path.exists(path) and os.path.samefile(path, target):
            raise ValueError(f"{os.fspath(target)}: expected another file to write than those that are read, got one")


def _of_a_new_file(path: Path) -> int:
    """The permissions that a new file of this name gets; asking for the umask would change it for other threads."""
    with open(path, "wb") as file:
        permissions = os.fstat(file.fileno()).st_mode & 0o777
    path.unlink()
    return permissions
