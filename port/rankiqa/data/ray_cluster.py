"""Connecting to a Ray cluster, for the commands that spread their work by `--ray`; needs the extra `scale`."""

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

HERE = ""  # an address: see `connected`
CONNECT_SECONDS = 10.0


@contextlib.contextmanager
def connected(address: str = HERE, *, purpose: str = "--ray") -> Iterator[ModuleType]:
    """Connect to a Ray cluster for as long as the context lasts.

    A cluster that this process is connected to already is used and stays connected. One that had to be started ends
    with the context.

    Args:
        address: HOST:PORT of the head, "auto" for a cluster on this machine, or HERE: that of RAY_ADDRESS or of this
            machine, and if there is none, one that is started on this machine with all its cores.
        purpose: What needs Ray; messages begin with it.

    Yields:
        The module `ray`.

    Raises:
        MissingExtra: Ray is not installed.
        ValueError: No cluster answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no network beyond the cluster's
    ray = need("ray", "scale", purpose)
    _leave_stdout_alone(ray)
    if ray.is_initialized():
        yield ray
        return
    where = address or os.environ.get("RAY_ADDRESS", HERE)
    options = {"address": address} if address else {} if where else {"include_dashboard": False}
    try:
        _check_answers(where)
        # Workers' output is not this command's: stdout is for results
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises ConnectionError, RuntimeError, ValueError and its own
        got = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{purpose}: expected a Ray cluster at {where or 'this machine'}, got: {got}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _leave_stdout_alone(ray: ModuleType) -> None:
    """Have Ray's messages, such as that a node was lost, go to stderr in a line each.

    Its threads print them with the last hundred lines of a log, on stdout, which is for results; no option of Ray's
    sends them elsewhere.
    """

    def print_message(message: dict[str, Any], *_: Any, **__: Any) -> None:
        lines = " ".join(message.get("lines", ())).splitlines() or ["no message"]
        print(f"ray: {lines[0][:200]}", file=sys.stderr)

    if hasattr(ray._private.worker, "print_to_stdstream"):
        ray._private.worker.print_to_stdstream = print_message


def _check_answers(address: str) -> None:
    """Raise OSError where nothing listens at HOST:PORT or ray://HOST:PORT: Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
