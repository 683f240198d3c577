"""Download the wheels of the port's image on this machine, because a build may only be able to reach Debian."""

import re
import subprocess
import sys
from pathlib import Path

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.13"  # of the base image, debian:trixie-slim
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")  # older than the image's C library
DEBIAN = {"torch", "numpy", "scipy"}  # Debian's packages are new enough; its OpenCV depends on a desktop


class WheelsError(RuntimeError):
    """A wheel could not be downloaded; the message is pip's."""


def requirements():
    """Return the dependencies in pyproject.toml that Debian's packages do not satisfy."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [line for line in project["dependencies"] if re.match(r"[\w-]+", line)[0] not in DEBIAN]


def _pip_download(folder, machine, *arguments):
    """Run `pip download` for the image's Python; raise WheelsError with pip's first error if it fails."""
    tags = [f"--platform={platform}_{machine}" for platform in PLATFORMS]
    abis = [f"--abi={abi}" for abi in (f"cp{PYTHON.replace('.', '')}", "abi3", "none")]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:",
               f"--python-version={PYTHON}", "--implementation=cp", *abis, *tags, "--dest", str(folder)]  # fmt: skip
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise WheelsError(f"pip download: {(errors or done.stderr.strip().splitlines() or ['no output'])[0]}")


def download(folder, machine, torch_index=None):
    """Download the wheels.

    Args:
        folder: The target folder; created if necessary.
        machine: The engine's processor, as in a wheel's name: "x86_64", "aarch64".
        torch_index: The address of a package index whose PyTorch is used instead of Debian's.

    Raises:
        WheelsError: If a package is not available.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch = []
    if torch_index:  # first and separately: another index may have a newer version, for GPUs
        _pip_download(folder, machine, "--no-deps", "--index-url", torch_index, "torch")
        torch = [str(path) for path in folder.glob("torch-*.whl")]
    _pip_download(folder, machine, *torch, *requirements())
    for name in DEBIAN - {"torch"}:  # downloaded as dependencies of others
        for path in folder.glob(f"{name}-*.whl"):
            path.unlink()
