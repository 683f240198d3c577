#!/usr/bin/env python3
"""Find a running Docker engine, or install and start one while it is needed.

    engine.py [--no-install] [--optional] -- COMMAND..     run a command while an engine is running

If no engine answers and the user is root on Debian or Ubuntu, docker.io is installed by apt and a dockerd is started.
It is stopped by its process id at the end. With `--optional`, the command is run even without an engine, after a line
that says why there is none.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import docker

START_TIMEOUT = 60  # seconds until a new dockerd must answer
STOP_TIMEOUT = 30  # seconds until a stopped dockerd is killed
DEFAULT_HOST = "unix:///var/run/docker.sock"
PID_FILE = Path("/var/run/docker.pid")


class NoEngine(RuntimeError):
    """No Docker engine answers and none could be started; the message says why and how to get one."""


def log_line(text):
    """Print a line to stderr."""
    print(f"docker: {text}", file=sys.stderr, flush=True)


def context_host(environment=None):
    """Return the address of the Docker context that the user chose, or None for the default context.

    The SDK's `from_env` reads only DOCKER_HOST; `docker` itself also uses DOCKER_CONTEXT and `docker context use`.

    Args:
        environment: The environment variables; None: those of this process.

    Raises:
        NoEngine: If the chosen context does not exist or its engine is on another machine, where containers could not
            mount folders of this one.
    """
    environment = os.environ if environment is None else environment
    if environment.get("DOCKER_HOST"):  # it has priority over contexts, as in `docker`
        return None
    folder = Path(environment.get("DOCKER_CONFIG") or Path(environment.get("HOME") or "/nonexistent", ".docker"))
    name = environment.get("DOCKER_CONTEXT")
    try:
        name = name or json.loads((folder / "config.json").read_text()).get("currentContext")
    except (OSError, ValueError, AttributeError):  # no configuration, or an invalid one
        return None
    if not name or name == "default":
        return None
    back = "`docker context use default` goes back to the default one"
    try:
        digest = hashlib.sha256(name.encode()).hexdigest()
        host = json.loads((folder / "contexts" / "meta" / digest / "meta.json").read_text())["Endpoints"]["docker"][
            "Host"
        ]
    except (OSError, ValueError, KeyError, TypeError):
        raise NoEngine(f"the Docker context {name!r} is chosen, but does not exist; {back}") from None
    if not host.startswith(("unix:", "npipe:")):
        raise NoEngine(
            f"the Docker context {name!r} is at {host}; expected an engine on this machine (a unix socket), since"
            f" containers mount its folders; {back}"
        )
    return host


def sockets(environment=None, uid=None):
    """Return other sockets at which an engine may listen: of rootless Docker, Docker Desktop and podman."""
    environment = os.environ if environment is None else environment
    uid = os.getuid() if uid is None else uid
    runtime = Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}")
    home = Path(environment.get("HOME") or "/nonexistent")
    places = [runtime / "docker.sock", home / ".docker/run/docker.sock", runtime / "podman/podman.sock"]
    return [*places, Path("/run/podman/podman.sock")] if uid == 0 else places


def addresses(environment=None):
    """Return the addresses to try, in order; None stands for DOCKER_HOST or the default socket.

    Raises:
        NoEngine: If the chosen Docker context cannot be used.
    """
    environment = os.environ if environment is None else environment
    host = context_host(environment)
    if host:
        return [host]
    if environment.get("DOCKER_HOST"):
        return [None]
    return [None, *(f"unix://{socket}" for socket in sockets(environment) if socket.is_socket())]


def answering(timeout=docker.constants.DEFAULT_TIMEOUT_SECONDS):
    """Return a client of the first engine of `addresses` that answers, or None.

    Args:
        timeout: How many seconds a request waits for a byte.

    Raises:
        NoEngine: If the chosen Docker context cannot be used.
    """
    for address in addresses():
        try:
            if address is None:
                client = docker.from_env(timeout=timeout)
            else:
                client = docker.DockerClient(base_url=address, timeout=timeout)
            client.ping()
            return client
        except docker.errors.DockerException:
            continue
    return None


def is_debian(os_release=Path("/etc/os-release")):
    """Return whether this is Debian, Ubuntu or a distribution based on them."""
    text = os_release.read_text() if os_release.exists() else ""
    ids = [line.split("=", 1)[1].strip('"') for line in text.splitlines() if line.startswith(("ID=", "ID_LIKE="))]
    return bool({"debian", "ubuntu"} & set(" ".join(ids).split()))


def apt_install(*packages):
    """Install Debian packages; raise NoEngine with apt's last line if that fails."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", *packages]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
            raise NoEngine(f"{' '.join(command)} failed: {last[0]}")


def how_to():
    """Return one line that says how to get an engine on this machine."""
    if is_debian():
        return "sudo apt-get install -y docker.io && sudo usermod -aG docker $USER   (then log in again)"
    return "install a Docker engine and see that `docker info` answers for this user"


def install_and_start():
    """Install docker.io if it is missing and start dockerd.

    Returns:
        (client, process, log path); process and log path are None if the package has started the system's engine.

    Raises:
        NoEngine: If that is impossible or dockerd does not answer.
    """
    if os.geteuid() != 0:
        raise NoEngine(f"no engine answers and this user may not install one; {how_to()}")
    host = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    if host != DEFAULT_HOST:  # a dockerd that is started here would not answer at that address
        raise NoEngine(f"no engine answers at DOCKER_HOST={host}; without that variable one is started here")
    if shutil.which("dockerd") is None:
        if not is_debian():
            raise NoEngine(f"no engine answers and this is not Debian or Ubuntu; {how_to()}")
        log_line("no engine answers: installing docker.io")
        apt_install("docker.io")
        if client := answering():  # the package has started the system's engine, which we must not stop
            return client, None, None
    forget_dead_pid()
    with tempfile.NamedTemporaryFile(prefix="rankiqa-dockerd-", suffix=".log", delete=False) as log:
        process = subprocess.Popen(
            ["dockerd"], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    log_line(f"started dockerd for this run (process {process.pid}, log {log.name})")
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if client := answering():
            return client, process, log.name
        if process.poll() is not None:
            break
        time.sleep(0.5)
    stop(process)
    last = Path(log.name).read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
    raise NoEngine(f"dockerd did not answer: {last[0]}; {how_to()}")


def forget_dead_pid():
    """Remove a pid file whose process has ended, because dockerd would refuse to start."""
    try:
        os.kill(int(PID_FILE.read_text()), 0)
    except (FileNotFoundError, PermissionError):
        return
    except (ProcessLookupError, ValueError):
        PID_FILE.unlink(missing_ok=True)


def stop(process):
    """Stop a dockerd that we started, and wait for its end."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    log_line(f"stopped dockerd (process {process.pid})")


@contextlib.contextmanager
def engine(install=True):
    """Provide a client of a Docker engine; an engine that had to be started is stopped at the end.

    Args:
        install: Whether an engine may be installed and started.

    Yields:
        The client.

    Raises:
        NoEngine: If no engine answers and none can be started.
    """
    client, process = answering(), None
    if client is None:
        if not install:
            raise NoEngine(f"no engine answers and installing was not allowed; {how_to()}")
        client, process, _ = install_and_start()
    try:
        yield client
    finally:
        client.close()
        if process is not None:
            stop(process)


def main(argv=None):
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-install", action="store_true", help="use only an engine that is already running")
    parser.add_argument("--optional", action="store_true", help="run the command even if there is no engine")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(argv)

    def run():
        """Run the command and return its exit status."""
        return subprocess.run(options.command).returncode

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a started engine is stopped
    try:
        with engine(install=not options.no_install):
            return run()
    except NoEngine as error:
        log_line(str(error))
        return run() if options.optional else 1


if __name__ == "__main__":
    sys.exit(main())
