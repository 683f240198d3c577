"""The progress bar of the commands that run long."""

from __future__ import annotations

import sys

QUIET_SECONDS = 30  # between progress lines that go to a file


def bar(*arguments, **options):
    """tqdm on stderr with rate and time left; where that is no terminal, a line now and then."""
    from tqdm import tqdm

    seldom = {} if sys.stderr.isatty() else {"mininterval": QUIET_SECONDS, "maxinterval": QUIET_SECONDS}
    return tqdm(*arguments, **options, **seldom)
