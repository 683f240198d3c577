"""Read list files, which contain one image per line as `path label`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rankiqa.data.folders import stored_name
from rankiqa.data.text_files import NOT_FINITE, NUMBER, Line, lines_of, number, read_text

_DECIMAL_COMMA = re.compile(r"(?:^|[\s;])[+-]?\d+,\d+$", re.ASCII)
_TRAILING_COMMENT = re.compile(r"\s#(?:\s.*)?$")
_THIRD_FIELD = re.compile(rf"\.[A-Za-z]\w{{1,4}}[\"']?[\s,;]+{NUMBER.pattern}$", re.ASCII)  # "a.bmp 1" in "a.bmp 1 2"
_QUOTED = re.compile(r"(?P<mark>[\"'])(?P<path>.+?)(?P=mark)\s*[\s,;]\s*(?P<label>[^\s,;]+)[\s,;]*")
_HEADER_PATH = {"path", "image", "images", "name", "file", "filename", "image_name", "img", "image_path"}
_HEADER_LABEL = {"label", "labels", "score", "mos", "dmos", "value", "opinion"}


@dataclass(frozen=True)
class ImageList:
    """The content of a list file.

    Attributes:
        name: The path of the list.
        paths: The paths of the images.
        labels: The labels, float64 (n,).
        sha256: The SHA-256 (hex) of the list's text in UTF-8, with line ends "\\n" and without a byte order mark.
    """

    name: str
    paths: tuple[str, ...]
    labels: np.ndarray
    sha256: str


SHOWN = 80  # maximum number of characters of a bad line that an error quotes


def shortened(line: str) -> str:
    """Quote a line for an error message, shortened to SHOWN characters."""
    return repr(line if len(line) <= SHOWN else f"{line[:SHOWN]}..")


def read_list(path: str | os.PathLike, root: str | os.PathLike = "") -> ImageList:
    """Read a list of `path label` lines.

    The text may be in any encoding that `text_files` supports and contain comments and empty lines. `path_and_label`
    describes the forms of a line. A first line such as `image,mos` is a table header and is skipped.

    Args:
        path: The list.
        root: The folder to which relative paths refer. A line such as `#1.bmp 3` is a comment unless this file exists.

    Raises:
        ValueError: If a line is malformed, in which case the error names the first one, or if there are no lines.
    """
    text = read_text(path, "a list of `path label` lines")

    def keep(line: str) -> bool:
        try:
            return os.path.exists(os.path.join(root, path_and_label(Line("", line))[0]))
        except ValueError:
            return False

    lines = lines_of(path, text, keep)
    if lines and _is_header(lines[0].text):
        del lines[0]
    if not lines:
        raise ValueError(f"{path}: expected `path label` lines, got an empty file")
    paths, labels = [], []
    for line in lines:
        name, label = path_and_label(line)
        paths.append(local_path(name, line.where, root))
        labels.append(label)
    return ImageList(str(path), tuple(paths), np.array(labels), hashlib.sha256(text.encode()).hexdigest())


def path_and_label(line: Line) -> tuple[str, float]:
    """Split a list's line into path and label, separated by a blank, a tab, a comma or a semicolon.

    The label is the last field, so the path may contain blanks. The path may be in quotes, and a comment (` # text`)
    may follow.

    Args:
        line: The line.

    Returns:
        The path and the label.

    Raises:
        ValueError: For any other line: no label, a label that is not a finite number, three fields, a decimal comma.
    """
    text = _TRAILING_COMMENT.sub("", line.text).strip()
    if quoted := _QUOTED.fullmatch(text):
        path, label = quoted["path"], quoted["label"]
    else:
        path, label = _split(text)
    if not path or not label:
        raise ValueError(f"{line.where}: expected `path label`, got {shortened(line.text)}")
    if not (NUMBER.fullmatch(label) or NOT_FINITE.fullmatch(label)):
        hint = " (a decimal comma?)" if _DECIMAL_COMMA.search(text) else ""
        raise ValueError(f"{line.where}: expected `path label`, got {shortened(line.text)}{hint}")
    if _THIRD_FIELD.search(path):
        raise ValueError(f"{line.where}: expected two fields, `path label`, got three: {shortened(line.text)}")
    return path, number(label, line.where)


def _split(text: str) -> tuple[str, str]:
    """Split a line without quotes into (path, label). Return ("", "") if it is ambiguous."""
    text = text.rstrip(" \t,;")  # spreadsheets add empty columns
    before, _, last = _rpartition(text, str.isspace)
    if NUMBER.fullmatch(last) or NOT_FINITE.fullmatch(last):
        return before.rstrip(" \t,;"), last
    if _DECIMAL_COMMA.search(text):  # "a.bmp;3,5"
        return "", ""
    before, _, last = _rpartition(text, ";".__eq__) if ";" in text else _rpartition(text, ",".__eq__)
    return before.strip(), last.strip()


def _rpartition(text: str, separates: Callable[[str], bool]) -> tuple[str, str, str]:
    """Do the same as str.rpartition, at the last character for which `separates` is true."""
    for index in range(len(text) - 1, -1, -1):
        if separates(text[index]):
            return text[:index], text[index], text[index + 1 :]
    return "", "", text


def local_path(path: str, where: str, root: str | os.PathLike = "") -> str:
    """Convert a list's path to this machine: join it to `root`, encode accents as on disk, replace backslashes.

    Args:
        path: The path in the list.
        where: The list and the line number, for error messages.
        root: The folder to which relative paths refer.

    Raises:
        ValueError: For a path with a Windows drive on a machine without Windows.
    """
    below_root = stored_name(os.path.join(root, path))
    if "\\" not in path or os.path.lexists(below_root):
        return below_root
    if os.name != "nt" and re.match(r"[A-Za-z]:\\|\\\\", path):
        raise ValueError(f"{where}: expected a path of this machine, got Windows' {path!r}")
    return os.path.join(root, path.replace("\\", "/"))


def _is_header(text: str) -> bool:
    """Return whether a line is a table header such as `image,mos`."""
    words = [word.strip(" \"'").lower() for word in re.split(r"[\s,;]+", text) if word]
    return len(words) == 2 and words[0] in _HEADER_PATH and words[1] in _HEADER_LABEL
