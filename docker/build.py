#!/usr/bin/env python3
"""Build the image caffe_ref (the original Caffe 1.0 and RankIQA), unless it exists and is up to date.

    build.py                     clone the original RankIQA at its pinned commit
    build.py --from PATH         use a checkout, bare mirror or archive instead
    build.py --without-upstream  Caffe and our layers only, for a machine without network
    build.py --auto              clone it if its server is reached, otherwise like --without-upstream
    build.py --gpu               caffe_ref:gpu, compiled with CUDA (long)
    build.py --port              rankiqa, the port on the CPU, with Debian's PyTorch (--torch-index: another one)

The base image is pulled. Without access to an image registry it is made with debootstrap, under the name in the
Dockerfile. Needs a Docker engine, which docker/engine.py finds or starts.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "caffe_ref"))
import docker

import get_upstream
import port_wheels
from engine import NoEngine, answering, apt_install, engine, is_debian, log_line

ROOT = Path(__file__).resolve().parent.parent

DOCKERFILES = {
    "caffe_ref": ROOT / "docker" / "caffe_cpu.Dockerfile",
    "caffe_ref:gpu": ROOT / "docker" / "caffe_gpu.Dockerfile",
    "rankiqa_octave": ROOT / "docker" / "octave.Dockerfile",  # Octave alone; used by parity_tests/octave
    "rankiqa": ROOT / "docker" / "port.Dockerfile",
}
IMAGE, GPU, PORT = "caffe_ref", "caffe_ref:gpu", "rankiqa"
SOURCE = "rankiqa.source"  # label: digest of the files that the image was built from
UPSTREAM = "rankiqa.upstream"  # label: commit of the original inside, or "none"
AUTO, WITHOUT = "auto", "without"  # values of `upstream`: clone it if possible; build without it
TORCH = "rankiqa.torch"  # label of the port's image: "debian" or the index of its PyTorch
STAGE = "rankiqa.stage=build"  # label of intermediate images
PULL_TIMEOUT = 60  # seconds without a byte from the registry


class BuildError(RuntimeError):
    """The image could not be built; the message is that of the engine or apt."""


def sources(image):
    """Return all of our files that an image is built from, sorted."""
    common = [DOCKERFILES[image], ROOT / "docker" / "apt_sources"]
    if image == PORT:
        packages = [p for part in ("port", "conversion") for p in (ROOT / part).rglob("*") if p.is_file()]
        ours = [p for p in packages if not any(n == "__pycache__" or n.endswith(".egg-info") for n in p.parts)]
        others = [ROOT / "docker" / name for name in ("check_port.py", "port_entry", "port_wheels.py")]
        others += [ROOT / name for name in ("docker/sample_networks.py", "pyproject.toml", "README.md", "LICENSE")]
        return sorted([*common, *ours, *others])
    if not image.startswith(IMAGE):
        return sorted(common)
    if image == GPU:
        common += [ROOT / "docker" / name for name in ("cuda_architectures", "gpu_entry")]
    inside = [p for p in (ROOT / "caffe_ref").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    return sorted([*common, *inside])


def source_digest(image):
    """Return the SHA-256 over names, modes and bytes of an image's files, except Markdown pages."""
    digest = hashlib.sha256()
    for path in sources(image):
        if path.suffix == ".md":
            continue
        head = f"{path.relative_to(ROOT)} {os.access(path, os.X_OK)} {path.stat().st_size}\n"
        digest.update(head.encode() + path.read_bytes())
    return digest.hexdigest()


def labels(client, image):
    """Return the labels of an image; {} if it does not exist."""
    try:
        return client.images.get(image).labels
    except docker.errors.ImageNotFound:
        return {}


def up_to_date(client, image, upstream, torch_index=None):
    """Return whether the image exists, was built from the current files, and has the original or not, as requested."""
    image_labels = labels(client, image)
    if image == PORT:
        return image_labels.get(SOURCE) == source_digest(image) and image_labels.get(TORCH) == (torch_index or "debian")
    inside = image_labels.get(UPSTREAM) == get_upstream.pins()[""]["commit"]
    wanted = upstream == AUTO or inside != (upstream == WITHOUT)
    return image_labels.get(SOURCE) == source_digest(image) and wanted


def base_names(image):
    """Return [(repository, tag)] of the Dockerfile's base images."""
    names = re.findall(r"^FROM (\S+):(\S+)", DOCKERFILES[image].read_text(), re.MULTILINE)
    return list(dict.fromkeys(names))


def pull(repository, tag):
    """Try to pull a base image with a short timeout; return whether it worked."""
    try:
        with_timeout = answering(timeout=PULL_TIMEOUT)
        with_timeout.images.pull(repository, tag=tag)
        return True
    except Exception as error:  # the SDK also raises errors of requests and urllib3
        log_line(f"{repository}:{tag} could not be pulled ({str(error).splitlines()[0][:120]})")
        return False


def archives(mirror):
    """Return possible addresses of Debian's archive for a mirror, the same that apt_sources tries inside the image."""
    mirror = mirror.rstrip("/")
    own = [mirror.replace("//deb.", "//archive.", 1)] if "//deb." in mirror else []
    return [*own, f"{mirror.removesuffix('/debian')}/debian-archive/debian"]


def default_mirror(suite, scripts=Path("/usr/share/debootstrap/scripts")):
    """Return debootstrap's default mirror of a release, or None if it has none."""
    script = scripts / suite
    match = re.search(r"^\s*default_mirror (\S+)", script.read_text(), re.MULTILINE) if script.exists() else None
    return match and match[1]


def run_debootstrap(suite, root, mirror):
    """Run debootstrap into `root`, from the mirror (None: its default) or else from the archive.

    Raises:
        BuildError: If no place has the release.
    """
    start = mirror or default_mirror(suite)
    errors = []
    for place in (mirror, *(archives(start) if start else [])):
        command = ["debootstrap", "--variant=minbase", suite, str(root), *([place] if place else [])]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode == 0:
            return
        last = (done.stdout + done.stderr).strip().splitlines()[-1:] or ["no output"]
        errors.append(f"{place or 'the default mirror'}: {last[0]}")
        log_line(f"no {suite} from {errors[-1]}")
        shutil.rmtree(root, ignore_errors=True)
    raise BuildError(f"debootstrap {suite}: {'; '.join(errors)}")


def debootstrap(client, repository, tag, mirror):
    """Make the base image from Debian's packages; raise BuildError if that is impossible here."""
    if os.geteuid() != 0 or not is_debian():
        raise BuildError(f"{repository}:{tag}: no registry answers, and making it needs root on Debian or Ubuntu")
    suite = tag.split("-")[0]
    log_line(f"making {repository}:{tag} with debootstrap")
    if shutil.which("debootstrap") is None:
        apt_install("debootstrap")
    with tempfile.TemporaryDirectory(prefix="rankiqa-base-") as folder:
        root, archive = Path(folder, "root"), Path(folder, "root.tar")
        run_debootstrap(suite, root, mirror)
        subprocess.run(
            ["tar", "-C", str(root), "--exclude=./var/cache/apt/archives/*.deb", "-cf", archive, "."], check=True
        )
        client.api.import_image_from_file(str(archive), repository=repository, tag=tag)


def ensure_bases(client, image, mirror):
    """Pull or make the missing base images of the Dockerfile."""
    for repository, tag in base_names(image):
        try:
            client.images.get(f"{repository}:{tag}")
        except docker.errors.ImageNotFound:
            if not pull(repository, tag):
                debootstrap(client, repository, tag, mirror)


def stage(folder, image, upstream):
    """Copy our files and, for Caffe, the original's into a build context; return the original's commit or "none"."""
    for path in sources(image):
        target = Path(folder, path.relative_to(ROOT))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    if image == PORT:
        return "none"
    commit = get_upstream.pins()[""]["commit"]
    place = None if upstream in (None, AUTO) else upstream
    if upstream != WITHOUT:
        try:
            number = get_upstream.get(Path(folder, "upstream"), place)
            log_line(f"{number} files of RankIQA at {commit[:12]}, verified")
            return commit
        except get_upstream.UpstreamError as error:
            if upstream != AUTO or not isinstance(error, get_upstream.NotReached):
                raise BuildError(f"{error} (--without-upstream builds without the original's files)") from None
            log_line(f"building without the original's files: {error}")
    for name in ("data", "models", "results"):
        Path(folder, "upstream", name).mkdir(parents=True)
    return "none"


def build(client, mirror=None, upstream=AUTO, image=IMAGE, torch_index=None):
    """Build an image unless it is up to date.

    Args:
        client: Docker SDK client.
        mirror: A Debian mirror; None: the base image's.
        upstream: None: clone the original; a path: use it; WITHOUT: build without it; AUTO: clone it if possible.
        image: The name of the image, one of DOCKERFILES.
        torch_index: For the port's image: a package index whose PyTorch is used instead of Debian's.

    Raises:
        BuildError: If the build fails.
    """
    if up_to_date(client, image, upstream, torch_index):
        return
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rankiqa-context-") as folder:
        commit = stage(folder, image, upstream)
        marks, arguments = {SOURCE: source_digest(image), UPSTREAM: commit}, {"MIRROR": mirror or ""}
        if image == PORT:
            download_wheels(client, Path(folder, "wheels"), torch_index)
            marks[TORCH] = torch_index or "debian"
            arguments["TORCH"] = "wheel" if torch_index else "debian"
        ensure_bases(client, image, mirror)
        minutes = {GPU: 25, PORT: 4}.get(image, 2)
        log_line(f"building {image} (about {minutes} minutes the first time)")
        steps = client.api.build(
            path=folder,
            dockerfile=str(DOCKERFILES[image].relative_to(ROOT)),
            tag=image,
            rm=True,
            forcerm=True,
            decode=True,
            buildargs=arguments,
            labels=marks,
        )
        tail = []
        for step in steps:
            if "error" in step:
                raise BuildError("\n".join([*tail[-5:], step["error"].strip()]))
            text = step.get("stream", "").strip()
            tail += text.splitlines()
            if text.upper().startswith("STEP "):  # podman writes STEP
                log_line(text.splitlines()[0][:100])
    remove_stages(client)
    log_line(f"{image} built in {time.monotonic() - start:.0f} s")


def download_wheels(client, folder, torch_index):
    """Download the wheels of the port's image for the engine's processor; raise BuildError if that fails."""
    log_line("downloading the wheels that Debian lacks")
    try:
        port_wheels.download(folder, client.info()["Architecture"], torch_index)
    except port_wheels.WheelsError as error:
        raise BuildError(str(error)) from None


def remove_stages(client):
    """Remove the untagged images of earlier stages, which are larger than the final image."""
    for left in client.images.list(filters={"dangling": True, "label": STAGE}):
        try:
            client.images.remove(left.id)
        except docker.errors.APIError as error:  # e.g. a container uses it
            log_line(f"left over from the build: {left.short_id} ({error.explanation})")


def main(argv=None):
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mirror", help="Debian mirror (default: the base image's, then Debian's archive)")
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--from", dest="place", metavar="PATH", help="checkout, bare mirror or archive of the original")
    origin.add_argument("--without-upstream", action="store_true", help="build without the original's files")
    origin.add_argument("--auto", action="store_true", help="build without them only if they cannot be downloaded")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--gpu", action="store_true", help="build caffe_ref:gpu, with CUDA")
    which.add_argument("--port", action="store_true", help="build rankiqa, the port on the CPU")
    parser.add_argument(
        "--torch-index", metavar="URL", help="with --port: take PyTorch from this package index, not from Debian"
    )
    parser.add_argument("--no-install", action="store_true", help="do not install or start a Docker engine")
    options = parser.parse_args(argv)
    image = PORT if options.port else GPU if options.gpu else IMAGE
    upstream = WITHOUT if options.without_upstream else AUTO if options.auto else options.place
    if options.port and upstream:
        parser.error("--port: the image of the port has no files of the original")
    if options.torch_index and not options.port:
        parser.error("--torch-index: only for --port")
    try:
        with engine(install=not options.no_install) as client:
            build(client, options.mirror, upstream, image, options.torch_index)
            if image == PORT:
                megabytes = client.images.get(image).attrs["Size"] / 1e6
                log_line(f"{image} is ready, {megabytes:.0f} MB: docker run --rm {image} score --help")
                return 0
            inside = labels(client, image)[UPSTREAM]
            log_line(
                f"{image} is ready, {'without the original' if inside == 'none' else 'RankIQA ' + inside[:12]} inside"
            )
    except (BuildError, NoEngine) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
