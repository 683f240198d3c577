"""Sources of images: files, folders, globs, lists of paths, and tar archives (WebDataset's), which are read in place.

Everything is lazy. Neither a list of ten million paths nor an archive is held in memory, and the bytes of an image are
read when it is decoded.
"""

from __future__ import annotations

import codecs
import glob
import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rankiqa.data.folders import Ignored, find_images, is_image_name
from rankiqa.data.image_lists import path_and_label
from rankiqa.data.images import ImageError, read_bytes
from rankiqa.data.text_files import Line

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_BEHIND = 1 << 20  # bytes to check after the end of an archive; tar pads archives with zeros to blocks of 10 KiB


@dataclass(frozen=True)
class ImageSource:
    """An image that this process or another one can read.

    Attributes:
        name: The path in results; ARCHIVE/MEMBER for a member of an archive.
        file: The file to open.
        offset: The position of the image in an uncompressed archive, or None if the whole file is the image.
        size: The number of bytes.
        data: The bytes of a member of a compressed archive, or None.
        error: The reason why there is no image, such as a damaged archive; otherwise "".
    """

    name: str
    file: str
    offset: int | None = None
    size: int = 0
    data: bytes | None = None
    error: str = ""

    def read(self) -> bytes:
        """Return the bytes of the image file. Raises ImageError if they cannot be read."""
        if self.error:
            raise ImageError(self.error)
        if self.data is not None:
            return self.data
        if self.offset is None:
            return read_bytes(Path(self.file))
        try:
            with open(self.file, "rb") as archive:
                archive.seek(self.offset)
                data = archive.read(self.size)
        except OSError as error:
            raise ImageError(f"expected a readable archive, got: {error.strerror}") from None
        if len(data) < self.size:
            raise ImageError(f"expected {self.size} bytes in the archive, got {len(data)}: it is truncated")
        return data


def is_archive(path: str | os.PathLike) -> bool:
    """Return whether a path has the suffix of a tar archive and is not a folder."""
    return os.fspath(path).lower().endswith(ARCHIVES) and not os.path.isdir(path)


def is_pattern(path: str | os.PathLike) -> bool:
    """Return whether a path is a glob: it contains *, ? or [..], and no file has exactly this name."""
    path = os.fspath(path)
    return glob.has_magic(path) and not os.path.lexists(path)


def files_of(
    path: str | os.PathLike, *, recursive: bool = False, ignored: dict[str, Ignored] | None = None
) -> list[str]:
    """Return the image files and archives of one path.

    Args:
        path: A file, which is returned unchecked even if it does not exist; a folder, for its images; or a glob
            (`photos/**/*.jpg`), for the images and archives that match.
        recursive: Whether to read subfolders too.
        ignored: A dictionary to which {folder: skipped entries} is added.

    Raises:
        ImageError: For a folder without images, a folder that cannot be listed, or a glob that matches nothing.
    """
    path = os.fspath(path)
    if is_pattern(path):
        names = [name for name in sorted(glob.glob(path, recursive=True)) if is_archive(name) or _is_image_file(name)]
        if not names:
            raise ImageError(f"{path}: expected a glob that matches images or archives, got none")
        return names
    images, others = find_images([path], recursive=recursive)
    if ignored is not None:
        ignored.update(others)
    return [str(image) for image in images]


def sources_of(files: Iterable[str]) -> Iterator[ImageSource]:
    """Yield the images of files and archives."""
    for name in files:
        if is_archive(name):
            yield from _members(name)
        else:
            yield ImageSource(name, name)


def sources_of_all(paths: Iterable[str | os.PathLike], *, recursive: bool = False) -> Iterator[ImageSource]:
    """Yield the images of paths (see `files_of`). A path without images becomes a source with an error."""
    for path in paths:
        name = os.fspath(path)
        try:
            yield from sources_of(files_of(name, recursive=recursive))
        except ImageError as error:
            yield ImageSource(name, name, error=str(error).removeprefix(f"{name}: "))


def paths_of_lines(lines: Iterable[str]) -> Iterator[str]:
    """Yield the paths of a list with one path per line, or `path label` as written by `rankiqa lists`.

    A line that is the name of an existing file or folder is used as a whole. Otherwise a label at its end is removed.
    Empty lines and comments (#) are skipped. From the first line with a NUL on, only NUL separates paths
    (`find -print0`), so names may contain line breaks. A byte order mark (BOM) before the first line is removed.

    Args:
        lines: The lines, with their line ends.

    Raises:
        ValueError: For a list in UTF-16.
    """
    for number, text in enumerate(_entries(lines)):
        if number == 0 and not os.path.lexists(text):
            text = _without_mark(text)
        if not text.strip():
            continue
        if not os.path.lexists(text):
            if text.lstrip().startswith("#"):
                continue
            try:
                path, _ = path_and_label(Line("", text))
            except ValueError:
                pass
            else:
                text = path
        yield text


def _entries(lines: Iterable[str]) -> Iterator[str]:
    """Yield the entries between newlines; from the first line with a NUL on, those between NULs."""
    rest = None
    for line in lines:
        if rest is None and "\0" not in line:
            yield line.rstrip("\r\n")
            continue
        *whole, rest = ((rest or "") + line).split("\0")
        yield from whole
    if rest is not None:
        yield rest.rstrip("\r\n")


def _without_mark(text: str) -> str:
    """Remove the byte order mark from a list's first line. Raises ValueError for the mark of UTF-16."""
    data = text.encode("utf-8", "surrogateescape")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("-: expected a list in UTF-8, got one in UTF-16 (`iconv -f UTF-16 -t UTF-8` converts it)")
    return data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


def _is_image_file(name: str) -> bool:
    return is_image_name(os.path.basename(name)) and not os.path.isdir(name)


class _Member(tarfile.TarInfo):
    """A member whose header must be complete; tarfile treats a damaged or missing header as the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            name = type(error).__name__  # compared by name, because tarfile's type stubs lack the classes
            if name == "EOFHeaderError":  # blocks of zeros, the regular end of an archive
                raise
            reason = "a truncated archive without an end" if name == "EmptyHeaderError" else error
            raise tarfile.ReadError(f"{reason} (byte {tarfile_.offset})") from None


def _members(path: str) -> Iterator[ImageSource]:
    """Yield the images of a tar archive in its order. Damage, or the lack of images, yields a source with an error."""
    images = 0
    try:
        with tarfile.open(path, "r:*", tarinfo=_Member) as archive:
            compressed = not isinstance(archive.fileobj, io.BufferedReader)
            while (member := archive.next()) is not None:
                archive.members.clear()  # pyright: ignore  tarfile keeps all headers, and an archive may have millions
                if member.isdir() or not is_image_name(os.path.basename(member.name)):
                    continue
                images += 1
                name = f"{path}/{member.name}"
                if member.islnk() or member.issym():  # tar stores a link for a file that the archive already contains
                    error = f"expected an image, got a link to {member.linkname}, which is not followed in an archive"
                    yield ImageSource(name, path, error=error)
                elif not member.isreg():
                    yield ImageSource(name, path, error="expected an image file, got a special file")
                elif compressed or member.sparse is not None:
                    file = archive.extractfile(member)
                    assert file is not None  # it is a regular file
                    yield ImageSource(name, path, data=file.read())
                else:
                    yield ImageSource(name, path, member.offset_data, member.size)
            if archive.fileobj is not None and archive.fileobj.read(_BEHIND).strip(b"\0"):
                error = "expected one tar archive, got more data after its end (joined with cat?), which are not read"
                yield ImageSource(path, path, error=error)
    except MemoryError:
        yield ImageSource(path, path, error="expected members that fit into memory, got one that does not")
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        text = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        if "method gz" in text:  # tarfile then lists the error of every method that it tried
            text = "another kind of file, or one that is empty or truncated"
        yield ImageSource(path, path, error=f"expected a whole tar archive, got: {text}")
    else:
        if not images:
            yield ImageSource(path, path, error="expected a tar archive with images, got none in it")
