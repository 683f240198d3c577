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
    """`temporary_name` of a file, renamed to it when the block ends well, removed when it does not. Raises OSError."""
    temporary = temporary_name(target)
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
