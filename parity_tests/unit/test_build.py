"""Building the images: a Debian release that the mirrors no longer have, stale images, and the port's wheels."""

import http.server
import os
import subprocess
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

import build
import port_wheels

SCRIPT = Path(build.__file__).with_name("apt_sources")


@pytest.fixture
def mirror():
    """(address, requested paths, available paths) of a local HTTP server; every other path gives 404."""
    requests, available = [], set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            exists = self.path in available
            self.send_response(200 if exists else 404)
            self.end_headers()
            if exists:
                self.wfile.write(b"Origin: Debian\n")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", requests, available
        server.shutdown()


@pytest.fixture
def apt(tmp_path):
    """apt(sources, *arguments): run apt_sources on a private /etc/apt.

    Its fake apt-get requests the Release file of each source, as apt does first, and no more.
    """
    (tmp_path / "bin").mkdir()
    (tmp_path / "etc" / "sources.list.d").mkdir(parents=True)
    program = tmp_path / "bin" / "apt-get"
    program.write_text(
        "#!/usr/bin/env python3\nimport sys, urllib.request\n"
        f"for line in open({str(tmp_path / 'etc' / 'sources.list')!r}):\n"
        "    _, place, suite = line.split()[:3]\n"
        "    try:\n        urllib.request.urlopen(f'{place}/dists/{suite}/Release')\n"
        "    except OSError as error:\n        sys.exit(f'E: {place} {suite}: {error}')\n"
    )
    program.chmod(0o755)
    script = tmp_path / "bin" / "apt_sources"
    script.write_text(SCRIPT.read_text().replace("/etc/apt/", f"{tmp_path}/etc/"))
    script.chmod(0o755)

    def run(sources, *arguments):
        """Return (exit status, content of sources.list afterwards, stderr)."""
        (tmp_path / "etc" / "sources.list").write_text(sources)
        environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "no_proxy": "127.0.0.1"}
        completed = subprocess.run([script, *arguments], capture_output=True, text=True, env=environment)
        return completed.returncode, (tmp_path / "etc" / "sources.list").read_text(), completed.stderr

    return run


def test_sources_of_a_release_that_the_mirror_has_stay(mirror, apt):
    place, _, available = mirror
    available |= {"/debian/dists/bullseye/Release", "/debian-security/dists/bullseye-security/Release"}
    sources = f"deb {place}/debian bullseye main\ndeb {place}/debian-security bullseye-security main\n"
    assert apt(sources, "bullseye", "main", "deb") == (0, sources, "")


def test_a_release_that_has_left_is_taken_from_the_archive(mirror, apt):
    place, _, available = mirror
    available.add("/debian-archive/debian/dists/bullseye/Release")
    status, sources, err = apt(f"deb {place}/debian bullseye main\n", "bullseye", "main", "deb")
    assert (status, sources) == (0, f"deb {place}/debian-archive/debian bullseye main\n")
    assert f"trying the archive at {place}/debian-archive/debian" in err
    status, sources, _ = apt("", "bullseye", "main contrib", "deb deb-src", f"{place}/debian/")
    expected = "".join(f"{kind} {place}/debian-archive/debian bullseye main contrib\n" for kind in ("deb", "deb-src"))
    assert (status, sources) == (0, expected)


def test_the_archive_s_security_updates_are_taken_where_it_has_them(mirror, apt):
    place, _, available = mirror
    available |= {
        "/debian-archive/debian/dists/bullseye/Release",
        "/debian-archive/debian-security/dists/bullseye-security/Release",
    }
    status, sources, _ = apt("", "bullseye", "main", "deb", f"{place}/debian")
    archive = f"{place}/debian-archive"
    expected = f"deb {archive}/debian bullseye main\ndeb {archive}/debian-security bullseye-security main\n"
    assert (status, sources) == (0, expected)


def test_a_release_that_is_nowhere_is_an_error(mirror, apt):
    place, requests, _ = mirror
    status, _, err = apt(f"deb {place}/debian bullseye main\n", "bullseye", "main", "deb")
    assert status == 1 and "no archive has bullseye" in err.splitlines()[-1]
    assert any("debian-archive" in path for path in requests)
    assert apt("", "bullseye", "main", "deb")[0] == 1


def test_where_the_archive_may_be():
    assert build.archives("http://deb.example/debian/") == [
        "http://archive.example/debian",
        "http://deb.example/debian-archive/debian",
    ]
    assert build.archives("http://127.0.0.1:8000/debian") == ["http://127.0.0.1:8000/debian-archive/debian"]


@pytest.fixture
def fake_debootstrap(tmp_path, monkeypatch):
    """The mirrors that a fake debootstrap was given, in order; it succeeds only with an archive."""
    mirrors = []

    def run(command, **_):
        mirrors.append(command[4] if len(command) > 4 else None)
        works = mirrors[-1] is not None and "archive" in mirrors[-1]
        return subprocess.CompletedProcess(command, 0 if works else 1, "", "" if works else "E: Invalid Release file\n")

    monkeypatch.setattr(build.subprocess, "run", run)
    return mirrors


def test_debootstrap_goes_on_to_the_archive(fake_debootstrap, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "default_mirror", lambda suite: "http://deb.example/debian")
    build.run_debootstrap("bullseye", tmp_path / "root", None)
    assert fake_debootstrap == [None, "http://archive.example/debian"]
    fake_debootstrap.clear()
    with pytest.raises(build.BuildError, match="Invalid Release file"):
        monkeypatch.setattr(build, "archives", lambda mirror: ["http://other/debian"])
        build.run_debootstrap("bullseye", tmp_path / "root", "http://mirror/debian")
    assert fake_debootstrap == ["http://mirror/debian", "http://other/debian"]


def test_debootstraps_own_mirror_is_read_from_its_script(tmp_path):
    (tmp_path / "bullseye").write_text("case $ARCH in\n  *)\n    default_mirror http://deb.example/debian\n")
    assert build.default_mirror("bullseye", tmp_path) == "http://deb.example/debian"
    assert build.default_mirror("sid", tmp_path) is None


def test_every_stage_s_base_is_had(monkeypatch):
    class Images:
        def get(self, name):
            requested.append(name)
            raise build.docker.errors.ImageNotFound(name)

    requested, pulled = [], []
    monkeypatch.setattr(build, "pull", lambda *base: pulled.append(base) or True)
    build.ensure_bases(SimpleNamespace(images=Images()), build.GPU, None)
    assert requested == ["debian:bookworm-slim", "debian:bullseye-slim"]
    assert pulled == [("debian", "bookworm-slim"), ("debian", "bullseye-slim")]


def test_what_a_dockerfile_copies_is_in_its_context():
    for image, dockerfile in build.DOCKERFILES.items():
        copied = [word for line in dockerfile.read_text().splitlines() if line.startswith("COPY docker/")
                  for word in line.split()[1:-1]]  # fmt: skip
        assert copied and {build.ROOT / name for name in copied} <= set(build.sources(image))


def test_every_image_is_made_anew_when_its_sources_change():
    for image in build.DOCKERFILES:
        assert SCRIPT in build.sources(image)
        assert "apt_sources" in build.DOCKERFILES[image].read_text()


def test_a_page_makes_no_image_stale(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text("a")
    (tmp_path / "record.py").write_text("a")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "sources", lambda image: sorted(tmp_path.iterdir()))
    first = build.source_digest("caffe_ref")
    (tmp_path / "README.md").write_text("b")
    assert build.source_digest("caffe_ref") == first
    (tmp_path / "record.py").write_text("b")
    assert build.source_digest("caffe_ref") != first


def test_the_port_s_wheels_are_what_debian_lacks():
    names = {line.split(">")[0] for line in port_wheels.requirements()}
    assert {"opencv-python-headless", "protobuf", "safetensors"} <= names
    assert not names & port_wheels.DEBIAN


def test_pytorch_of_another_index(tmp_path, monkeypatch):
    """The wheel comes from a local index that has one version of PyTorch for the image's Python."""
    page = tmp_path / "simple" / "torch"
    page.mkdir(parents=True)
    name = "torch-2.9.0+cpu-cp313-cp313-manylinux_2_28_x86_64.whl"
    with zipfile.ZipFile(page / name, "w") as wheel:
        wheel.writestr("torch-2.9.0+cpu.dist-info/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 2.9.0+cpu\n")
        wheel.writestr(
            "torch-2.9.0+cpu.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: cp313-cp313-manylinux_2_28_x86_64\n"
        )
        wheel.writestr("torch-2.9.0+cpu.dist-info/RECORD", "")
    (page / "index.html").write_text(f'<a href="{name.replace("+", "%2B")}">{name}</a>')
    monkeypatch.setattr(port_wheels, "requirements", list)
    index = (tmp_path / "simple").as_uri()
    port_wheels.download(tmp_path / "wheels", "x86_64", index)
    assert [path.name for path in (tmp_path / "wheels").iterdir()] == [name]
    with pytest.raises(port_wheels.WheelsError, match="pip download: ERROR"):
        port_wheels.download(tmp_path / "arm", "aarch64", index)


def test_an_image_of_another_pytorch_is_made_anew(monkeypatch):
    labels = {build.SOURCE: build.source_digest(build.PORT), build.TORCH: "debian"}
    images = {build.PORT: SimpleNamespace(labels=labels)}
    client = SimpleNamespace(images=SimpleNamespace(get=images.__getitem__))
    assert build.up_to_date(client, build.PORT, build.AUTO)
    assert not build.up_to_date(client, build.PORT, build.AUTO, "http://index")
    labels[build.SOURCE] = "another"
    assert not build.up_to_date(client, build.PORT, build.AUTO)
