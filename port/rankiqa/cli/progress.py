"""The progress bar of commands that run for a long time."""

from __future__ import annotations

import sys

QUIET_SECONDS = 30  # between two progress lines when stderr is not a terminal


def bar(*arguments, **options):
    """Return a tqdm bar on stderr with rate and time left. If stderr is not a terminal, it prints a line every 30
    seconds."""
    from tqdm import tqdm

    interval = {} if sys.stderr.isatty() else {"mininterval": QUIET_SECONDS, "maxinterval": QUIET_SECONDS}
    return tqdm(*arguments, **options, **interval)
