"""A time limit for code that runs in the test's own process."""

import contextlib
import signal


class TimeIsUp(BaseException):
    """Raised at the end of the time. No `except Exception` or `except OSError` of the tested code catches it."""


@contextlib.contextmanager
def time_limit(seconds):
    """Raise TimeIsUp if the body takes longer; also interrupts a system call that waits."""

    def late(*_):
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
