"""Connect to a Ray cluster, for the commands that distribute their work with `--ray`. This needs the extra `scale`."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from rankiqa.data.extras import need

HERE = ""  # the default address, see `connected`
CONNECT_SECONDS = 10.0


@contextlib.contextmanager
def connected(address: str = HERE, *, purpose: str = "--ray") -> Iterator[ModuleType]:
    """Connect to a Ray cluster for the duration of the context.

    If this process is already connected to a cluster, that cluster is used and stays connected. A cluster that is
    started here ends with the context.

    Args:
        address: HOST:PORT of the head, "auto" for a cluster on this machine, or HERE. HERE selects the cluster of
            RAY_ADDRESS or of this machine; if there is none, it starts one on this machine with all its cores.
        purpose: The feature that needs Ray; error messages begin with it.

    Yields:
        The module `ray`.

    Raises:
        MissingExtra: If Ray is not installed.
        ValueError: If no cluster answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # send nothing beyond the cluster
    ray = need("ray", "scale", purpose)
    _leave_stdout_alone(ray)
    if ray.is_initialized():
        yield ray
        return
    where = address or os.environ.get("RAY_ADDRESS", HERE)
    options = {"address": address} if address else {} if where else {"include_dashboard": False}
    try:
        _check_answers(where)
        # Do not print the workers' output, because stdout is for results
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises ConnectionError, RuntimeError, ValueError and its own types
        got = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{purpose}: expected a Ray cluster at {where or 'this machine'}, got: {got}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _leave_stdout_alone(ray: ModuleType) -> None:
    """Redirect Ray's messages, for example about a lost node, to stderr with one line each.

    Ray's threads print them to stdout, which is for results, together with the last hundred lines of a log. Ray has no
    option to redirect them.
    """

    def print_message(message: dict[str, Any], *_: Any, **__: Any) -> None:
        lines = " ".join(message.get("lines", ())).splitlines() or ["no message"]
        print(f"ray: {lines[0][:200]}", file=sys.stderr)

    if hasattr(ray._private.worker, "print_to_stdstream"):
        ray._private.worker.print_to_stdstream = print_message


def _check_answers(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT or ray://HOST:PORT; Ray itself would retry for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
