"""caffe_ref/get_upstream.py on a small test repository: every source that it takes, and every file verified."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "caffe_ref"))

import get_upstream

FILES = {"src/README.md": b"read me\n", "src/run.sh": b"#!/bin/sh\n", "data/list.txt": b"a 1\r\nb 2\n"}
EXTRA = "data/extra.txt"


def git(folder, *words):
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "core.autocrlf=false", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository, with an upstream.toml that pins its commit and the digests of its files."""
    folder = tmp_path / "checkout"
    for name, data in {**FILES, EXTRA: b"optional\n", "unused.bin": b"\0"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "pinned")
    commit = git(folder, "rev-parse", "HEAD")
    sums = "".join(f'"{name}" = "{hashlib.sha256(data).hexdigest()}"\n' for name, data in FILES.items())
    blob = get_upstream.git_blob(b"optional\n")
    pins = tmp_path / "upstream.toml"
    pins.write_text(
        f'repository = "{folder}"\ncommit = "{commit}"\n\n[sha256]\n{sums}\n[git_blob]\n"{EXTRA}" = "{blob}"\n'
    )
    monkeypatch.setattr(get_upstream, "PINS", pins)
    return folder


def source(kind, checkout, tmp_path):
    """Return the path of the repository in one of the forms that --from takes."""
    if kind == "checkout":
        return checkout
    if kind == "mirror":  # its branch has a newer commit than the pinned one
        (checkout / "src/run.sh").write_bytes(b"changed")
        git(checkout, "commit", "-qam", "newer")
        git(tmp_path, "clone", "-q", "--mirror", str(checkout), "mirror.git")
        return tmp_path / "mirror.git"
    path = tmp_path / f"archive.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in checkout.rglob("*"):
                archive.write(file, Path("RankIQA-1234", file.relative_to(checkout)))
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            archive.add(checkout, "RankIQA-1234" if kind == "tar.gz" else ".")
    return path


@pytest.mark.parametrize("kind", ["clone", "checkout", "mirror", "tar", "tar.gz", "zip"])
def test_every_form(checkout, tmp_path, kind):
    out = tmp_path / "out"
    options = [] if kind == "clone" else ["--from", str(source(kind, checkout, tmp_path))]
    assert get_upstream.main([str(out), *options]) == 0
    expected = {**FILES, EXTRA: b"optional\n"}
    assert {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()} == expected
    assert (out / "src/run.sh").stat().st_mode & 0o777 == 0o755
    assert (out / "data/list.txt").stat().st_mode & 0o777 == 0o644
    assert get_upstream.main(["--check", str(out)]) == 0


def test_every_difference_is_named(checkout, tmp_path, capsys):
    (checkout / "data/list.txt").write_bytes(b"a 1\nb 2\n")  # the line endings of another git setting
    (checkout / "src/run.sh").unlink()
    (checkout / EXTRA).write_bytes(b"another")
    before = sorted(tmp_path.iterdir())
    assert get_upstream.main([str(tmp_path / "out"), "--from", str(checkout)]) == 1
    err = capsys.readouterr().err
    assert "3 files are not those of commit" in err
    assert f"data/list.txt: expected SHA-256 {hashlib.sha256(FILES['data/list.txt']).hexdigest()}, got " in err
    assert "src/run.sh: expected SHA-256" in err
    assert "got no such file" in err
    assert f"{EXTRA}: expected git blob" in err
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_that_may_be_missing(checkout, tmp_path):
    (checkout / EXTRA).unlink()
    assert get_upstream.main([str(tmp_path / "out"), "--from", str(checkout)]) == 0


def test_nothing_is_overwritten(checkout, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("kept")
    assert get_upstream.main([str(out), "--from", str(checkout)]) == 1
    assert "expected a new or empty folder" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["mine"]


@pytest.mark.parametrize(("name", "words"), [("none", "got nothing"), ("text", "expected a .tar, .tar.gz or .zip")])
def test_what_is_no_original(checkout, tmp_path, capsys, name, words):
    (tmp_path / "text").write_text("no archive")
    assert get_upstream.main([str(tmp_path / "out"), "--from", str(tmp_path / name)]) == 1
    assert words in capsys.readouterr().err


def test_no_network_is_told_apart(checkout, tmp_path):
    pins = get_upstream.PINS.read_text().replace(f'repository = "{checkout}"', 'repository = "/nowhere/at/all"')
    get_upstream.PINS.write_text(pins)
    with pytest.raises(get_upstream.NotReached, match="--from"):
        get_upstream.get(tmp_path / "out")


def test_the_projects_own_pins():
    tomllib = pytest.importorskip("tomllib")
    path = Path(get_upstream.__file__).with_name("upstream.toml")
    table = tomllib.loads(path.read_text())
    pins = get_upstream.pins()
    assert pins["sha256"] == table["sha256"]
    assert pins["git_blob"] == table["git_blob"]
    assert pins[""]["commit"] == table["commit"]
    assert len(pins["sha256"]) > 80


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_an_archive_that_is_cut_off_or_damaged(checkout, tmp_path, capsys, kind, part):
    """Any error of the archive reader becomes one line."""
    form = {"zip": "zip", "tar.gz": "gztar", "tar.xz": "xztar"}[kind]
    content = Path(shutil.make_archive(str(tmp_path / "whole"), form, checkout)).read_bytes()
    start = int(len(content) * part)
    for name, data in (
        ("cut", content[:start]),
        ("flipped", content[:start] + bytes(64) + content[start + 64 :]),
    ):
        archive = tmp_path / f"{name}.{kind}"
        archive.write_bytes(data)
        status = get_upstream.main([str(tmp_path / f"out-{name}"), "--from", str(archive)])
        err = capsys.readouterr().err
        if status == 0 and name == "flipped":  # damage outside the pinned files, whose digests match
            continue
        assert status == 1 and err.startswith("get_upstream.py: ")
        assert not (tmp_path / f"out-{name}").exists()


def test_without_git(checkout, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert get_upstream.main([str(tmp_path / "out")]) == 1
    assert "expected git on this machine, got none" in capsys.readouterr().err


def test_inside_a_hook_of_git(checkout, tmp_path, monkeypatch):
    """In a hook, GIT_DIR names the hook's repository, which must not change."""
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", str(other))
    before = (other / ".git" / "config").read_text()
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    with pytest.raises(get_upstream.NotReached):
        get_upstream._clone(str(tmp_path / "nowhere"), "0" * 40, tmp_path)
    assert (other / ".git" / "config").read_text() == before


def test_places_that_cannot_be(checkout, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for arguments in (["--check", str(tmp_path / "none")], [str(tmp_path / "file" / "out"), "--from", str(checkout)]):
        assert get_upstream.main(arguments) == 1
        assert capsys.readouterr().err.count("\n") == 1
