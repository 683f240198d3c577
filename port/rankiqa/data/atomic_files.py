"""Write files atomically: a file is either complete or absent."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import threading
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

TEMPORARY = re.compile(r"\.(?P<target>.+)\.(?P<host>[0-9a-f]{8})-(?P<process>\d+)-\d+\.tmp", re.DOTALL)
LONGEST = 200  # bytes of the target's name in a temporary name; file systems allow 255 in all


def temporary_name(target: str | os.PathLike) -> Path:
    """Return the path where this thread writes a file before it is renamed: a hidden name in the same folder.

    Folder scans skip hidden names, so they do not take it for an image. The name states the machine, the process and
    the thread, because two of them may write the same target at the same time.
    """
    target = Path(target)
    name = f".{_shortened(target.name)}.{_host()}-{os.getpid()}-{threading.get_native_id()}.tmp"
    return target.with_name(name)


def target_of(name: str) -> str | None:
    """Return the name of the file for which `name` is a temporary name, shortened if long; None if it is none."""
    match = TEMPORARY.fullmatch(name)
    return match["target"] if match else None


def remove_abandoned(folder: str | os.PathLike, target: str | None = None) -> None:
    """Remove a folder's temporary files of killed processes of this machine: those of the file `target`, or all."""
    wanted = None if target is None else _shortened(target)
    try:
        names = os.listdir(folder)
    except OSError:  # a folder that may be written but not listed
        return
    for name in names:
        match = TEMPORARY.fullmatch(name)
        if not match or match["host"] != _host() or (wanted is not None and match["target"] != wanted):
            continue
        if not _runs(int(match["process"])):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))


def _shortened(name: str) -> str:
    data = os.fsencode(name)
    if len(data) <= LONGEST:
        return name
    return f"{data[: LONGEST // 2].decode(errors='ignore')}-{zlib.crc32(data):08x}"


def _host() -> str:
    """Return a checksum of the machine's name and of what process ids mean here: containers may share the name."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{zlib.crc32(os.fsencode(platform.node() + namespace)):08x}"


def _runs(process: int) -> bool:
    if os.name == "nt":  # there, os.kill would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        pass
    return True


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

    Temporary files that killed processes left for this target are removed.

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
    try:
        _of_a_new_file(temporary_name(target))
    except OSError as error:
        raise ValueError(f"{target}: expected a file that can be written, got: {error.strerror}") from None
    remove_abandoned(target.absolute().parent, target.name)


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
