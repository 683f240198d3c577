"""Where images come from: files, folders, globs, lists of paths, and tar archives (WebDataset's), read in place.

All of it is lazy: neither a list of ten million paths nor an archive is held as a whole, and an image's bytes are read
when it is decoded.
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

from rankiqa.data.folders import PassedOver, find_images, is_image_name
from rankiqa.data.images import ImageError, read_bytes
from rankiqa.data.lists import path_and_label
from rankiqa.data.text_files import Line

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_BEHIND = 1 << 20  # bytes behind the end of an archive that are looked at; tar fills up to 10 KiB with zeros


@dataclass(frozen=True)
class ImageSource:
    """An image that can be read, in this process or in another.

    Attributes:
        name: Its path in results; ARCHIVE/MEMBER for a member of an archive.
        file: The file that is opened.
        offset: Where its bytes begin in an uncompressed archive; None: the whole file is the image.
        size: How many bytes.
        data: The bytes themselves, of a member of a compressed archive.
        error: Why there is no image, such as a damaged archive; "" where there is one.
    """

    name: str
    file: str
    offset: int | None = None
    size: int = 0
    data: bytes | None = None
    error: str = ""

    def read(self) -> bytes:
        """The bytes of the image file. Raises ImageError where there are none."""
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
    """Whether a path is named like a tar archive and is no folder."""
    return os.fspath(path).lower().endswith(ARCHIVES) and not os.path.isdir(path)


def is_pattern(path: str | os.PathLike) -> bool:
    """Whether a path is a glob: it has *, ? or [..], and there is no file of that very name."""
    path = os.fspath(path)
    return glob.has_magic(path) and not os.path.lexists(path)


def files_of(
    path: str | os.PathLike, *, recursive: bool = False, passed_over: dict[str, PassedOver] | None = None
) -> list[str]:
    """The image files and archives of one path.

    Args:
        path: A file, which is taken as it is whether it exists or not; a folder, which gives its images; or a glob
            (`photos/**/*.jpg`), which gives images and archives.
        recursive: Whether folders inside a folder are read, too.
        passed_over: Receives {folder: what is no image}.

    Raises:
        ImageError: For a folder without images or one that cannot be listed, or a glob that matches nothing.
    """
    path = os.fspath(path)
    if is_pattern(path):
        names = [name for name in sorted(glob.glob(path, recursive=True)) if is_archive(name) or _is_image_file(name)]
        if not names:
            raise ImageError(f"{path}: expected a glob that matches images or archives, got none")
        return names
    images, others = find_images([path], recursive=recursive)
    if passed_over is not None:
        passed_over.update(others)
    return [str(image) for image in images]


def sources_of(files: Iterable[str]) -> Iterator[ImageSource]:
    """The images of files and archives, one by one."""
    for name in files:
        if is_archive(name):
            yield from _members(name)
        else:
            yield ImageSource(name, name)


def sources_of_all(paths: Iterable[str | os.PathLike], *, recursive: bool = False) -> Iterator[ImageSource]:
    """The images of any paths that `files_of` takes, one by one; a path that gives none is a source with an error."""
    for path in paths:
        name = os.fspath(path)
        try:
            yield from sources_of(files_of(name, recursive=recursive))
        except ImageError as error:
            yield ImageSource(name, name, error=str(error).removeprefix(f"{name}: "))


def paths_of_lines(lines: Iterable[str]) -> Iterator[str]:
    """The paths of a list: a path on each line, or `path label` as `rankiqa lists` writes it.

    A line that is the name of a file or folder is that path; of another one, a label at its end is left out. Empty
    lines and comments (#) are skipped. From the first line with a NUL on, NUL alone separates (`find -print0`): names
    may then have ends of lines. A mark (BOM) before the first line is left out.

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
    """What newlines separate, or, from the first line with a NUL on, NULs."""
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
    """The first line of a list without its mark (BOM), which a reader of file names keeps. ValueError for UTF-16's."""
    data = text.encode("utf-8", "surrogateescape")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("-: expected a list in UTF-8, got one in UTF-16 (`iconv -f UTF-16 -t UTF-8` converts it)")
    return data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


def _is_image_file(name: str) -> bool:
    return is_image_name(os.path.basename(name)) and not os.path.isdir(name)


class _Member(tarfile.TarInfo):
    """A member whose header has to be whole: tarfile takes a damaged one, or none, for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            kind = type(error).__name__  # by name: their classes are not in the types of tarfile
            if kind == "EOFHeaderError":  # blocks of zeros, as an archive has to end
                raise
            words = "one that is cut off: it has no end" if kind == "EmptyHeaderError" else error
            raise tarfile.ReadError(f"{words} (byte {tarfile_.offset})") from None


def _members(path: str) -> Iterator[ImageSource]:
    """The images in a tar archive, in its order; what is damaged or holds none is a source with an error."""
    images = 0
    try:
        with tarfile.open(path, "r:*", tarinfo=_Member) as archive:
            compressed = not isinstance(archive.fileobj, io.BufferedReader)
            while (member := archive.next()) is not None:
                archive.members.clear()  # pyright: ignore  tarfile keeps each header, and an archive may have millions
                if member.isdir() or not is_image_name(os.path.basename(member.name)):
                    continue
                images += 1
                name = f"{path}/{member.name}"
                if member.islnk() or member.issym():  # tar makes one of a file that it has already
                    error = f"expected an image, got a link to {member.linkname}, which is not followed in an archive"
                    yield ImageSource(name, path, error=error)
                elif not member.isreg():
                    yield ImageSource(name, path, error="expected an image file, got a special file")
                elif compressed or member.sparse is not None:
                    file = archive.extractfile(member)
                    assert file is not None  # a regular file
                    yield ImageSource(name, path, data=file.read())
                else:
                    yield ImageSource(name, path, member.offset_data, member.size)
            if archive.fileobj is not None and archive.fileobj.read(_BEHIND).strip(b"\0"):
                error = "expected one tar archive, got more data behind its end (joined by cat?), which are not read"
                yield ImageSource(path, path, error=error)
    except MemoryError:
        yield ImageSource(path, path, error="expected members that fit into memory, got one that does not")
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        text = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        if "method gz" in text:  # what each way of reading it says
            text = "another kind of file, or one that is empty or cut off"
        yield ImageSource(path, path, error=f"expected a whole tar archive, got: {text}")
    else:
        if not images:
            yield ImageSource(path, path, error="expected a tar archive with images, got none in it")
