"""List files: `path label` lines."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class ImageList:
    """A list file: image paths, labels float32 (n,), and the SHA-256 (hex) of its text."""

    name: str
    paths: tuple[str, ...]
    labels: np.ndarray
    sha256: str


SHOWN = 80  # characters of a bad line that an error quotes


def shortened(line: str) -> str:
    """A line as an error quotes it."""
    return repr(line if len(line) <= SHOWN else f"{line[:SHOWN]}..")


def read_list(path: str | os.PathLike, root: str | os.PathLike = "") -> ImageList:
    """Read `path label` lines; the images' paths start at root. Raises ValueError that names the line."""
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected a list of `path label` lines, got: {error}") from None
    paths, labels = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            image, label = line.split()
            labels.append(float(label))
        except ValueError:
            raise ValueError(f"{path} line {number}: expected `path label`, got {shortened(line)}") from None
        paths.append(os.path.join(root, image))
    if not paths:
        raise ValueError(f"{path}: expected `path label` lines, got an empty file")
    if not np.isfinite(labels).all():
        raise ValueError(f"{path}: expected finite labels, got nan or inf")
    return ImageList(str(path), tuple(paths), np.array(labels), hashlib.sha256(text.encode()).hexdigest())
