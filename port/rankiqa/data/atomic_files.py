"""Write files atomically: a file is either complete or absent."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def temporary_name(target: str | os.PathLike) -> Path:
    """Return the path where a file is written before it is renamed: a hidden name in the same folder.

    Folder scans skip hidden names, so they do not take it for an image.
    """
    target = Path(target)
    return target.with_name(f".{target.name}.tmp")


@contextlib.contextmanager
def replacing(target: str | os.PathLike) -> Iterator[Path]:
    """Yield `temporary_name(target)`; rename it to the target if the block succeeds, and remove it otherwise.

    The permissions follow the umask, even if a library (safetensors) creates files that only their owner can read.

    Args:
        target: The file to write.

    Raises:
        OSError: If writing fails; it names the target. Also for a target that is not a regular file, such as /dev/null,
            because a file would replace it.
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
            # The error of a failed write (disk full) names no file, and users do not know the temporary name
            raise OSError(error.errno, error.strerror, os.fspath(target)) from None
        raise


def check_target(target: str | os.PathLike, inputs: Iterable[str | os.PathLike] = ()) -> None:
    """Check that `replacing` can write a file, before a computation whose results go there.

    Args:
        target: The file to write.
        inputs: Files that are read. The target must not be one of them.

    Raises:
        ValueError: If the target is a folder, a device, a pipe or an input, or if its folder is missing or not
            writable.
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
    if temporary.exists():  # it belongs to a run that was killed or is still writing
        return
    try:
        _of_a_new_file(temporary)
    except OSError as error:
        raise ValueError(f"{target}: expected a file that can be written, got: {error.strerror}") from None


def _is_device(target: str | os.PathLike) -> bool:
    """Return whether a path is a device, a pipe or a link to an open file, such as /dev/stdout."""
    folder = os.path.dirname(os.path.abspath(target))
    if os.path.isdir(target):
        return False
    special = os.path.exists(target) and not os.path.isfile(target)
    return special or folder in ("/dev", "/dev/fd") or folder.startswith("/proc/")


def check_no_input(target: str | os.PathLike, inputs: Iterable[str | os.PathLike]) -> None:
    """Raise ValueError if the file to write is one of the files that are read.

    Names are compared first, because replacing a file does not affect a link with another name.
    """
    if not os.path.exists(target):
        return
    name = os.path.basename(target)
    for path in inputs:
        if os.path.basename(path) == name and os.path.exists(path) and os.path.samefile(path, target):
            raise ValueError(f"{os.fspath(target)}: expected another file to write than those that are read, got one")


def _of_a_new_file(path: Path) -> int:
    """Return the permissions of a new file at this path.

    It creates and removes the file, because reading the umask would change it for other threads.
    """
    with open(path, "wb") as file:
        permissions = os.fstat(file.fileno()).st_mode & 0o777
    path.unlink()
    return permissions
