#!/usr/bin/env python3
"""Get the original RankIQA repository at its pinned commit, every file verified.

    get_upstream.py OUT                       clone it
    get_upstream.py OUT --from PATH           adopt a checkout, a bare mirror, or an archive (.tar, .tar.gz, .zip)
    get_upstream.py --check DIR               verify files that are already there

upstream.toml lists the files and their SHA-256. If files differ or are missing, they are named and nothing is written.
Runs under Python 3.9 with nothing installed except git (for a clone or a mirror).
"""

import argparse
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

PINS = Path(__file__).resolve().with_name("upstream.toml")
CLONE_TIMEOUT = 300  # seconds
HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY")  # git sets them in hooks
# raised by the archive readers for a file that is cut off, damaged or encrypted
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, RuntimeError, zlib.error, lzma.LZMAError)


class UpstreamError(RuntimeError):
    """The original cannot be read or differs from the pinned files; the message says where."""


class NotReached(UpstreamError):
    """The repository could not be cloned, most likely because there is no network."""


def pins():
    """Return upstream.toml as {section: {name: value}}; top-level names are in section "".

    Python 3.9 has no TOML reader.
    """
    sections, section = {"": {}}, ""
    for line in PINS.read_text().splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
            sections[section] = {}
        elif pair := re.fullmatch(r'"?([^"=]+?)"? = "(.*)"', line):
            sections[section][pair[1]] = pair[2]
    return sections


def _run_git(folder, *arguments, timeout=None):
    """Run git in a folder, ignoring the GIT_DIR of a hook; raise NotReached if git is not installed."""
    environment = {name: value for name, value in os.environ.items() if name not in HOOK_VARIABLES}
    environment["GIT_TERMINAL_PROMPT"] = "0"
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=environment, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout,
        )  # fmt: skip
    except FileNotFoundError:
        raise NotReached("expected git on this machine, got none; --from takes a checkout or archive") from None


def _last_line(done):
    """Return the last line that a process wrote to stderr."""
    return (done.stderr.decode(errors="replace").strip().splitlines() or ["no output"])[-1]


def _from_folder(folder):
    """Return a function name -> bytes or None for the files of a folder."""

    def read(name):
        path = Path(folder, name)
        return path.read_bytes() if path.is_file() else None

    return read


def _from_git(folder, commit):
    """Return a function name -> bytes or None for the files of a commit in a git directory.

    It reads the pinned commit, no matter where the branch points.
    """
    if _run_git(folder, "cat-file", "-e", f"{commit}^{{commit}}").returncode:
        got = _last_line(_run_git(folder, "cat-file", "-e", f"{commit}^{{commit}}"))
        raise UpstreamError(f"{folder}: expected a repository that has commit {commit} ({got})")

    def read(name):
        shown = _run_git(folder, "show", f"{commit}:{name}")
        return shown.stdout if shown.returncode == 0 else None

    return read


def _from_archive(path):
    """Return a function name -> bytes or None for the files of an archive, at its root or below a top folder.

    Members are read, never unpacked.
    """
    if zipfile.is_zipfile(path):
        archive = zipfile.ZipFile(path)
        members = {m.filename: m for m in archive.infolist() if not m.is_dir()}
        content = archive.read
    else:
        archive = tarfile.open(path)  # noqa: SIM115 (read by the function that is returned)
        members = {m.name: m for m in archive.getmembers() if m.isfile()}

        def content(member):
            return archive.extractfile(member).read()

    tops = {name[: -len("src/README.md")] for name in members if name.endswith("src/README.md")}
    top = min(tops, key=len, default="")

    def read(name):
        try:
            return content(members[top + name]) if top + name in members else None
        except DAMAGED as error:
            raise UpstreamError(f"{path}: {name}: expected a whole archive, got a damaged one ({error})") from None

    return read


def _clone(repository, commit, folder):
    """Fetch one commit into a folder; return a function name -> bytes or None for its files."""
    steps = (["init", "-q"], ["remote", "add", "origin", repository], ["fetch", "-q", "--depth", "1", "origin", commit])
    for step in steps:
        try:
            done = _run_git(folder, *step, timeout=CLONE_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise NotReached(f"{repository}: no answer in {CLONE_TIMEOUT} s") from None
        if done.returncode:
            last = _last_line(done)
            raise NotReached(f"{repository} could not be cloned ({last}); give a checkout or archive by --from")
    return _from_git(folder, commit)


def opened(place, commit):
    """Open a checkout, a git directory or an archive.

    Returns:
        A function that takes a file's name and returns its bytes, or None if there is no such file.

    Raises:
        UpstreamError: If the place is none of these.
    """
    place = Path(place)
    if place.is_dir():
        is_git = (place / "objects").is_dir() and (place / "HEAD").is_file()
        return _from_git(place, commit) if is_git else _from_folder(place)
    try:
        return _from_archive(place)
    except FileNotFoundError:
        raise UpstreamError(
            f"{place}: expected a checkout, bare mirror or archive of the original, got nothing"
        ) from None
    except DAMAGED as error:
        raise UpstreamError(f"{place}: expected a .tar, .tar.gz or .zip archive ({error})") from None


def git_blob(data):
    """Return git's name of a file: the SHA-1 over a header and its bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def verified(read):
    """Read and verify all pinned files.

    Args:
        read: A function name -> bytes or None, as `opened` returns it.

    Returns:
        {name: bytes}.

    Raises:
        UpstreamError: If files differ or are missing. The message lists all of them.
    """
    pinned, files, wrong = pins(), {}, []
    for name, expected in pinned["sha256"].items():
        data = read(name)
        got = "no such file" if data is None else hashlib.sha256(data).hexdigest()
        if got == expected:
            files[name] = data
        else:
            wrong.append(f"{name}: expected SHA-256 {expected}, got {got}")
    for name, expected in pinned["git_blob"].items():  # these may be missing
        data = read(name)
        if data is not None and git_blob(data) == expected:
            files[name] = data
        elif data is not None:
            wrong.append(f"{name}: expected git blob {expected}, got {git_blob(data)}")
    if wrong:
        commit = pinned[""]["commit"]
        raise UpstreamError(f"{len(wrong)} files are not those of commit {commit}:\n  " + "\n  ".join(wrong))
    return files


def write(files, out):
    """Write {name: bytes} as a new folder, atomically: beside it first, then renamed.

    Raises:
        UpstreamError: If the folder exists and is not empty.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UpstreamError(f"{out}: expected a new or empty folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        for name, data in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o755 if name.endswith(".sh") else 0o644)
        for folder in [temporary, *(p for p in temporary.rglob("*") if p.is_dir())]:
            folder.chmod(0o755)
        os.rename(temporary, out)  # also replaces an empty folder
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def get(out, place=None):
    """Write the verified files of the original to a folder.

    Args:
        out: The new folder.
        place: A checkout, mirror or archive; None: clone the repository.

    Returns:
        The number of files.

    Raises:
        UpstreamError: If files differ, or (NotReached) the clone fails.
    """
    pinned = pins()[""]
    with tempfile.TemporaryDirectory(prefix="rankiqa-upstream-") as folder:
        if place is None:
            read = _clone(pinned["repository"], pinned["commit"], folder)
        else:
            read = opened(place, pinned["commit"])
        files = verified(read)
    write(files, out)
    return len(files)


def main(argv=None):
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", help="a new folder for the files")
    parser.add_argument(
        "--from", dest="place", metavar="PATH", help="a checkout, bare mirror or archive of the original"
    )
    parser.add_argument("--check", metavar="DIR", help="verify the files of a folder, write nothing")
    options = parser.parse_args(argv)
    if (options.out is None) == (options.check is None):
        parser.error("expected OUT, or --check DIR")
    try:
        if options.check is not None and not Path(options.check).is_dir():
            raise UpstreamError(f"--check {options.check}: expected a folder of the original's files, got none")
        number = len(verified(_from_folder(options.check))) if options.check else get(options.out, options.place)
    except UpstreamError as error:
        print(f"get_upstream.py: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        place = error.filename or options.check or options.out
        print(f"get_upstream.py: {place}: {error.strerror or error}", file=sys.stderr)
        return 1
    print(f"{options.check or options.out}: {number} files of RankIQA at {pins()['']['commit']}, verified")
    return 0


if __name__ == "__main__":
    sys.exit(main())
