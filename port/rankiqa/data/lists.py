"""List files: `path label` lines, one image a line."""

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
_THIRD_FIELD = re.compile(rf"\.[A-Za-z]\w{{1,4}}[\"']?[\s,;]+{NUMBER.pattern}$", re.ASCII)  # "a.bmp 1" of "a.bmp 1 2"
_QUOTED = re.compile(r"(?P<mark>[\"'])(?P<path>.+?)(?P=mark)\s*[\s,;]\s*(?P<label>[^\s,;]+)[\s,;]*")
_HEADER_PATH = {"path", "image", "images", "name", "file", "filename", "image_name", "img", "image_path"}
_HEADER_LABEL = {"label", "labels", "score", "mos", "dmos", "value", "opinion"}


@dataclass(frozen=True)
class ImageList:
    """A list file.

    Attributes:
        name: The file.
        paths: Of the images.
        labels: float64 (n,).
        sha256: The SHA-256 (hex) of its text in UTF-8, ends of lines as "\\n", without a mark.
    """

    name: str
    paths: tuple[str, ...]
    labels: np.ndarray
    sha256: str


SHOWN = 80  # characters of a bad line that an error quotes


def shortened(line: str) -> str:
    """A line as an error quotes it."""
    return repr(line if len(line) <= SHOWN else f"{line[:SHOWN]}..")


def read_list(path: str | os.PathLike, root: str | os.PathLike = "") -> ImageList:
    """Read a list of `path label` lines.

    The text may be in any encoding that `text_files` reads, with comments and empty lines; a line may be any that
    `path_and_label` takes. A first line such as `image,mos` is a table's header.

    Args:
        path: The list.
        root: Where its relative paths begin. A line such as `#1.bmp 3` is a comment unless there is such a file.

    Raises:
        ValueError: That names the first bad line, or says that there is none.
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
    """The fields of a list's line: `path label`, `path,label`, `path;label`, or with a tab between.

    The label is the last field, so the path may have blanks; it may be in quotes. A comment may follow (` # text`).

    Raises:
        ValueError: For anything else: no label, a label that is no finite number, three fields, a decimal comma.
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
    """(path, label) of a line without quotes; ("", "") where there is no telling."""
    text = text.rstrip(" \t,;")  # a spreadsheet's empty columns
    before, _, last = _rpartition(text, str.isspace)
    if NUMBER.fullmatch(last) or NOT_FINITE.fullmatch(last):
        return before.rstrip(" \t,;"), last
    if _DECIMAL_COMMA.search(text):  # "a.bmp;3,5"
        return "", ""
    before, _, last = _rpartition(text, ";".__eq__) if ";" in text else _rpartition(text, ",".__eq__)
    return before.strip(), last.strip()


def _rpartition(text: str, separates: Callable[[str], bool]) -> tuple[str, str, str]:
    """str.rpartition at the last character that separates."""
    for place in range(len(text) - 1, -1, -1):
        if separates(text[place]):
            return text[:place], text[place], text[place + 1 :]
    return "", "", text


def local_path(path: str, where: str, root: str | os.PathLike = "") -> str:
    """A path of a list as this machine has it: below `root`, accents as stored, Windows' backslashes as slashes.

    Args:
        path: As the list has it.
        where: The file and line, for the message.
        root: Where relative paths begin.

    Raises:
        ValueError: For a path on a Windows drive, where this machine has none.
    """
    below_root = stored_name(os.path.join(root, path))
    if "\\" not in path or os.path.lexists(below_root):
        return below_root
    if os.name != "nt" and re.match(r"[A-Za-z]:\\|\\\\", path):
        raise ValueError(f"{where}: expected a path of this machine, got Windows' {path!r}")
    return os.path.join(root, path.replace("\\", "/"))


def _is_header(text: str) -> bool:
    """Whether a line is a table's header such as `image,mos`."""
    words = [word.strip(" \"'").lower() for word in re.split(r"[\s,;]+", text) if word]
    return len(words) == 2 and words[0] in _HEADER_PATH and words[1] in _HEADER_LABEL
