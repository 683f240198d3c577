"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def temporary_name(target: str | os.PathLike) -> Path:
    """Where a file is written before it is renamed: a hidden name beside it, that no list takes for an image."""
    target = Path(target)
    return target.with_name(f".{target.name}.tmp")


@contextlib.contextmanager
def replacing(target: str | os.PathLike) -> Iterator[Path]:
    """`temporary_name` of a file, renamed to it when the block ends well, removed when it does not. Raises OSError.

    Who may read the file is as the umask says, also where a library (safetensors) keeps it to its owner.
    """
    temporary = temporary_name(target)
    permissions = _of_a_new_file(temporary)
    try:
        yield temporary
        temporary.chmod(permissions)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _of_a_new_file(path: Path) -> int:
    """The permissions that a new file of this name gets; asking for the umask would change it for other threads."""
    with open(path, "wb") as file:
        permissions = os.fstat(file.fileno()).st_mode & 0o777
    path.unlink()
    return permissions
