"""The frame around every command: usable standard streams, and one line on stderr for every failure."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence

FAILED, REFUSED, INTERNAL, INTERRUPTED = 1, 2, 70, 130  # exit statuses; 70: sysexits.h's EX_SOFTWARE


def guarded(command: Callable[[Sequence[str]], int], arguments: Sequence[str], name: str = "rankiqa") -> int:
    """Run a command and return its exit status.

    Args:
        command: Takes the arguments and returns an exit status. It reports its expected errors itself.
        arguments: The arguments of the command line.
        name: The prefix of each line on stderr.

    Returns:
        The exit status.

    Raises:
        SystemExit: From argparse, for usage errors and --help.
    """
    _open_streams()
    try:
        _check(arguments)
        try:
            return command(arguments)
        finally:
            sys.stdout.flush()  # here, so that a failed write is reported; at Python's exit it would not be
    except BrokenPipeError:  # `rankiqa .. | head`
        _silence_stdout()
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:  # errors of files are reported by the commands; this is mostly stdout
        where = os.fspath(error.filename) if error.filename is not None else "standard output"
        _say(f"{where}: expected to read or write it, got: {error.strerror or error}", name)
        _silence_stdout()
        return FAILED
    except MemoryError:
        _say("expected work that fits into memory, got no memory for it", name)
        return FAILED
    except ValueError as error:
        if isinstance(error, _Refused):
            _say(str(error), name)
            return REFUSED
        return _internal(error, name)
    except Exception as error:
        return _internal(error, name)


EMPTY_ALLOWED = ("--prefix", "--root")  # an empty text is valid here: nothing goes before the paths of a list


class _Refused(ValueError):
    pass


def _check(arguments: Sequence[str]) -> None:
    """Raise _Refused for an argument that no command can use."""
    for number, argument in enumerate(arguments, start=1):
        if argument == "" and (number < 2 or arguments[number - 2] not in EMPTY_ALLOWED):
            raise _Refused(f"argument {number}: expected text, got an empty one (an unset variable?)")
        if "\0" in argument:
            raise _Refused(f"argument {number}: expected text without NUL, got {argument!r}")


def _open_streams() -> None:
    """Open each of stdin, stdout and stderr that is closed. Otherwise the next opened file would get its number, and
    output of libraries would end up in that file.

    Writing to a stdout that was closed fails; writing to a stderr that was closed has no effect.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may not be valid text


def _silence_stdout() -> None:
    """Redirect stdout to os.devnull, so that Python's exit does not flush the buffer again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(line: str, name: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(f"{name}: {line}", file=sys.stderr, flush=True)


def _internal(error: Exception, name: str) -> int:
    """Report a fault of the program on one line, write its traceback to a file and return INTERNAL."""
    what = " ".join(f"{type(error).__name__}: {error}".split())
    where = ""
    with contextlib.suppress(OSError):
        number, path = tempfile.mkstemp(prefix="rankiqa-error-", suffix=".txt")
        with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("".join(traceback.format_exception(error)))
        where = f"; its traceback is in {path}"
    _say(f"internal error, please report it: {what}{where}", name)
    return INTERNAL
