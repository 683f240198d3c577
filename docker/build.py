#!/usr/bin/env python3
"""Build the image caffe_ref (the original Caffe 1.0, CPU); nothing happens when it is there and up to date.

The base image is pulled; where no image registry is reached it is made by debootstrap, under the name that the
Dockerfile asks for. Needs a Docker engine (docker/engine.py gets one).
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
import docker

from engine import NoEngine, apt_install, engine, is_debian, say

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "docker" / "caffe_cpu.Dockerfile"
IMAGE = "caffe_ref"
LABEL = "rankiqa.source"  # digest of what the image was made from
PULL_TIMEOUT = 60  # seconds without a byte from the registry


class BuildError(RuntimeError):
    """The image could not be built; the message is the engine's or apt's own."""


def sources():
    """Every file that goes into the image, sorted."""
    inside = [p for p in (ROOT / "caffe_ref").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    return sorted([DOCKERFILE, *inside])


def source_digest():
    """SHA-256 over the names, modes and bytes of what the image is made from."""
    digest = hashlib.sha256()
    for path in sources():
        head = f"{path.relative_to(ROOT)} {os.access(path, os.X_OK)} {path.stat().st_size}\n"
        digest.update(head.encode() + path.read_bytes())
    return digest.hexdigest()


def up_to_date(client):
    """Is the image there, made from these very files?"""
    try:
        return client.images.get(IMAGE).labels.get(LABEL) == source_digest()
    except docker.errors.ImageNotFound:
        return False


def base_name():
    """(repository, tag) that the Dockerfile starts from."""
    return re.search(r"^FROM (\S+):(\S+)", DOCKERFILE.read_text(), re.MULTILINE).groups()


def pull(repository, tag):
    """Try to pull the base; True when it worked. In a client of its own: the timeout is short."""
    try:
        with_timeout = docker.from_env(timeout=PULL_TIMEOUT)
        with_timeout.images.pull(repository, tag=tag)
        return True
    except Exception as error:  # the SDK lets requests' and urllib3's own errors through
        say(f"{repository}:{tag} could not be pulled ({str(error).splitlines()[0][:120]})")
        return False


def debootstrap(client, repository, tag, mirror):
    """Make the base from Debian's packages."""
    if os.geteuid() != 0 or not is_debian():
        raise BuildError(f"{repository}:{tag}: no registry is reached, and making it needs root on Debian or Ubuntu")
    suite = tag.split("-")[0]
    say(f"making {repository}:{tag} with debootstrap")
    if shutil.which("debootstrap") is None:
        apt_install("debootstrap")
    with tempfile.TemporaryDirectory(prefix="rankiqa-base-") as folder:
        root, archive = Path(folder, "root"), Path(folder, "root.tar")
        command = ["debootstrap", "--variant=minbase", suite, str(root), *([mirror] if mirror else [])]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            last = (done.stdout + done.stderr).strip().splitlines()[-1:] or ["no output"]
            raise BuildError(f"debootstrap {suite}: {last[0]}")
        subprocess.run(
            ["tar", "-C", str(root), "--exclude=./var/cache/apt/archives/*.deb", "-cf", archive, "."], check=True
        )
        client.api.import_image_from_file(str(archive), repository=repository, tag=tag)


def ensure_base(client, mirror):
    repository, tag = base_name()
    try:
        client.images.get(f"{repository}:{tag}")
    except docker.errors.ImageNotFound:
        if not pull(repository, tag):
            debootstrap(client, repository, tag, mirror)


def build(client, mirror=None):
    """Build caffe_ref unless it is up to date. Raises BuildError."""
    if up_to_date(client):
        return
    start = time.monotonic()
    ensure_base(client, mirror)
    say(f"building {IMAGE} (about two minutes the first time)")
    steps = client.api.build(
        path=str(ROOT),
        dockerfile=str(DOCKERFILE.relative_to(ROOT)),
        tag=IMAGE,
        rm=True,
        decode=True,
        buildargs={"MIRROR": mirror or ""},
        labels={LABEL: source_digest()},
    )
    tail = []
    for step in steps:
        if "error" in step:
            raise BuildError("\n".join([*tail[-5:], step["error"].strip()]))
        text = step.get("stream", "").strip()
        tail += text.splitlines()
        if text.startswith("Step "):
            say(text.splitlines()[0][:100])
    say(f"{IMAGE} built in {time.monotonic() - start:.0f} s")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mirror", help="Debian mirror to take bullseye from, once it has moved to the archive")
    parser.add_argument("--no-install", action="store_true", help="do not install or start a Docker engine")
    options = parser.parse_args(argv)
    try:
        with engine(install=not options.no_install) as client:
            build(client, options.mirror)
            say(f"{IMAGE} is ready: docker run {IMAGE}")
    except (BuildError, NoEngine) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
