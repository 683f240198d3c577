"""Damaged files by the thousand, and what a command does with each: a right answer, a clear error, or a fault.

    for name, content in mutations(path.read_bytes(), n=1000, seed=0, form="protobuf"): ..
    counts = survey(commands, seconds=20)     # commands: (name, size of the input, call) of each

A call returns an exit status and prints as a command does. It runs in a forked process, so a crash of a C library, a
hang, and memory are seen too.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import signal
import struct
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

MEMORY_RATIO = 2.5  # of the file's size
MEMORY_FLOOR = 48 << 20  # bytes that a small file may cost: modules that load late, and buffers
RIGHT = "right answer"
HUGE = (0, 1, 127, 128, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def _bit_flips(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _truncation(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def _insertion(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content) + 1)
    content[at:at] = rng.randbytes(rng.choice((1, 2, 7, 100, 5000)))


def _deletion(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content))
    del content[at : at + rng.choice((1, 2, 7, 100, 5000))]


def _zeros(content: bytearray, rng: random.Random) -> None:
    at, size = rng.randrange(len(content)), rng.choice((1, 4, 8, 512))
    content[at : at + size] = bytes(len(content[at : at + size]))


def _repetition(content: bytearray, rng: random.Random) -> None:
    at, size = rng.randrange(len(content)), rng.choice((1, 8, 100, 5000))
    content[at:at] = content[at : at + size] * rng.choice((1, 2, 20))


def _number(content: bytearray, rng: random.Random) -> None:
    """A 2-, 4- or 8-byte number becomes one that is out of range."""
    width = rng.choice((2, 4, 8))
    at = rng.randrange(max(1, len(content) - width))
    content[at : at + width] = (rng.choice(HUGE) & (1 << 8 * width) - 1).to_bytes(width, rng.choice(("little", "big")))


def _early_number(content: bytearray, rng: random.Random) -> None:
    """The same in the first 512 bytes, where files keep sizes and versions."""
    width = rng.choice((1, 2, 4, 8))
    at = rng.randrange(max(1, min(512, len(content) - width)))
    content[at : at + width] = (rng.choice(HUGE) & (1 << 8 * width) - 1).to_bytes(width, "little")


def _nothing_but_noise(content: bytearray, rng: random.Random) -> None:
    keep = rng.choice((4, 8, 64, 1024))
    content[keep:] = rng.randbytes(min(len(content), 4096))


GENERAL = (_bit_flips, _truncation, _insertion, _deletion, _zeros, _repetition, _number, _early_number,
           _nothing_but_noise)  # fmt: skip


def varint(value: int) -> bytes:
    """A number as protobuf encodes it."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(content) and shift < 70:
        value |= (content[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if content[at - 1] < 128:
            return value, at
    raise ValueError


def protobuf_fields(content: bytes, depth: int = 3) -> list[tuple[int, int, int]]:
    """(start of the tag, start of the length or value, end) of each field, of fields inside fields too."""
    spans = []
    stack = [(0, len(content), depth)]
    while stack:
        at, end, level = stack.pop()
        inside = []
        try:
            while at < end:
                start = at
                tag, at = _read_varint(content, at)
                value = at
                if tag & 7 == 2:
                    size, at = _read_varint(content, at)
                    at += size
                    inside.append((at - size, at, level - 1))
                else:
                    at = {0: _read_varint(content, at)[1], 1: at + 8, 5: at + 4}[tag & 7]
                if at > end or not tag >> 3:
                    raise ValueError
                spans.append((start, value, at))
        except (ValueError, KeyError):
            continue  # no message: text or numbers
        if level > 1:
            stack += [span for span in inside if span[1] - span[0] < 1 << 16]
    return spans


def _field(content: bytearray, rng: random.Random) -> tuple[int, int, int]:
    return rng.choice(protobuf_fields(bytes(content)) or [(0, 0, len(content))])


def _tag(content: bytearray, rng: random.Random) -> None:
    start, value, _ = _field(content, rng)
    content[start:value] = varint(rng.choice((0, 1, 2, 3, 5, 7, 8, 100, 106, 121, 2**29 - 1)) << 3 | rng.randrange(8))


def _length(content: bytearray, rng: random.Random) -> None:
    _, value, _ = _field(content, rng)
    with contextlib.suppress(ValueError):
        size, after = _read_varint(content, value)
        content[value:after] = varint(rng.choice((0, 1, max(0, size - 1), size + 1, 2 * size, *HUGE)))


def _field_again(content: bytearray, rng: random.Random) -> None:
    start, _, end = _field(content, rng)
    content[end:end] = content[start:end] * rng.choice((1, 1, 3, 1000 if end - start < 100 else 2))


def _field_gone(content: bytearray, rng: random.Random) -> None:
    start, _, end = _field(content, rng)
    del content[start:end]


def _deep(content: bytearray, rng: random.Random) -> None:
    """A message in a message in a message, or groups, thousands deep."""
    start, _, _ = _field(content, rng)
    depth, number = rng.choice((10, 200, 5000)), rng.choice((1, 2, 7, 100))
    if rng.random() < 0.5:
        content[start:start] = varint(number << 3 | 3) * depth + varint(number << 3 | 4) * depth
        return
    inner = b""
    for _ in range(min(depth, 1000)):
        inner = varint(number << 3 | 2) + varint(len(inner)) + inner
    content[start:start] = inner


def _many_numbers(content: bytearray, rng: random.Random) -> None:
    start, _, _ = _field(content, rng)
    content[start:start] = (varint(rng.choice((5, 6, 7, 8)) << 3 | 5) + struct.pack("<f", 1.0)) * rng.choice((3, 3000))


PROTOBUF = (_tag, _length, _field_again, _field_gone, _deep, _many_numbers)


def _text(content: bytearray, rng: random.Random) -> None:
    """A line of a text file, or the whole file in another encoding."""
    lines = bytes(content).splitlines(keepends=True) or [b""]
    at = rng.randrange(len(lines))
    line = lines[at].rstrip()
    lines[at] = rng.choice((
        b"", line + line, line + b" 1 2\n", line.replace(b" ", b","), line.replace(b" ", b"\t") + b"\r\n", b"# " + line,
        b"\0" + line, line.rpartition(b" ")[0] + b"\n", line + b"9" * 5000 + b"\n", b"x" * 300_000 + b" 1\n",
        line.rpartition(b" ")[0] + rng.choice((b" nan", b" 1e999", b" 0x10", b" 1_0", b" -0", "  ١".encode())) + b"\n",
        b"../" * 2000 + line, b"/dev/null 1\n", b"\xff\xfe" + line, line.replace(b".", b".." * 200) + b"\n",
    ))  # fmt: skip
    content[:] = b"".join(lines)
    encoding = rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1140"))
    with contextlib.suppress(UnicodeError):
        content[:] = content.decode().encode(encoding)


_JSON_VALUES = (
    b"null",
    b"[]",
    b"{}",
    b"-1",
    b"1e999",
    b"NaN",
    b'"x"',
    b"9" * 5000,
    b"[" * 100_000,
    b'"\\ud800"',
    b"true",
)


def _json_value(content: bytearray, rng: random.Random) -> None:
    """A value of a JSON file becomes one of another kind."""
    values = list(re.finditer(rb'(?<=: )("[^"]*"|[-\w.+]+)|(?<=\n )("[^"]*")', bytes(content)))
    if values:
        chosen = rng.choice(values)
        content[chosen.start() : chosen.end()] = rng.choice(_JSON_VALUES)


def _header(content: bytearray, rng: random.Random) -> None:
    """The JSON header of a safetensors file."""
    size = min(int.from_bytes(content[:8], "little"), len(content) - 8)
    header = bytearray(content[8 : 8 + size])
    if not header:
        return
    if rng.random() < 0.3:
        old, new = rng.choice(((b"F32", b"F64"), (b"F32", b"XYZ"), (b'"shape"', b'"shap"'), (b"[", b"[-1,"),
                               (b"}", b""), (b'"arch"', b'"ark"'), (b"true", b"maybe")))  # fmt: skip
        header = header.replace(old, new, rng.choice((1, 1000)))
    else:
        rng.choice((_bit_flips, _deletion, _insertion, _repetition))(header, rng)
    content[: 8 + size] = len(header).to_bytes(8, "little") + header


FORMS = {"bytes": GENERAL, "protobuf": (*GENERAL, *PROTOBUF, *PROTOBUF), "hdf5": (*GENERAL, _early_number, _number),
         "safetensors": (*GENERAL, _header, _header, _header), "text": (*GENERAL, *[_text] * 9),
         "json": (*GENERAL, *[_json_value] * 9)}  # fmt: skip


def mutations(content: bytes, n: int, seed: int = 0, form: str = "bytes") -> Iterator[tuple[str, bytes]]:
    """Damaged copies of a file.

    Args:
        content: The whole file.
        n: How many.
        seed: The same seed gives the same copies.
        form: "bytes" (for any kind of file), "protobuf", "hdf5", "safetensors", "text" or "json": adds that form's own
            damage, of its lengths, tags, nesting, headers, lines and values.

    Yields:
        (what was done, the damaged content).
    """
    rng = random.Random(f"{seed} {form}")
    for i in range(n):
        mutated, done = bytearray(content), []
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            mutator = rng.choice(FORMS[form])
            if mutated:
                mutator(mutated, rng)
                done.append(mutator.__name__.strip("_"))
        yield f"{i} {' + '.join(done)}", bytes(mutated)


class _TimeIsUp(BaseException):
    """No Exception: a command that words every OSError or Exception must not word this one."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        name: Which.
        result: "right answer" (exit status 0), "clear error", or a fault: "traceback", "unclear error", "crash",
            "hang", "memory".
        detail: The error, or what is wrong with it.
    """

    name: str
    result: str
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        return self.result not in (RIGHT, "clear error")


def _peak_memory() -> int:
    """Most resident memory since `_forget_peak`, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _attempt(name: str, size: int, call: Callable[[], int], seconds: float) -> Outcome:
    """Run one call in this process."""

    def late(*_):
        raise _TimeIsUp

    out, err = io.StringIO(), io.StringIO()
    previous = signal.signal(signal.SIGALRM, late)
    _forget_peak()
    before = _peak_memory()
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = call()
    except _TimeIsUp:
        return Outcome(name, "hang", f"more than {seconds} s")
    except SystemExit as stop:
        status = stop.code
    except BaseException:  # that is what is looked for
        return Outcome(name, "traceback", traceback.format_exc(limit=-4))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    said = err.getvalue()
    if "Traceback" in said:
        return Outcome(name, "traceback", said)
    grown = _peak_memory() - before
    if grown > max(MEMORY_RATIO * size, MEMORY_FLOOR):
        return Outcome(name, "memory", f"{grown >> 20} MiB for a file of {size} bytes; {said[-200:]}")
    if status == 0:
        return Outcome(name, RIGHT)
    last = said.strip().splitlines()[-1:] or [""]
    # one line that names the problem; usage text of argparse may stand before it
    clear = status in (1, 2) and ": " in last[0] and len(last[0]) < 20_000
    return Outcome(name, "clear error" if clear else "unclear error", last[0][:300] if clear else f"{status}: {said}")


def survey(calls: Iterable[tuple[str, int, Callable[[], int]]], seconds: float = 20.0) -> list[Outcome]:
    """Run calls one by one in forked processes.

    Args:
        calls: (name, size of its input in bytes, call) of each; a call returns the exit status.
        seconds: Time for each.
    """
    calls, outcomes = list(calls), []
    while len(outcomes) < len(calls):
        with tempfile.TemporaryFile() as results:
            child = os.fork()
            if not child:
                try:
                    os.setpgid(0, 0)
                    for call in calls[len(outcomes) :]:
                        with os.fdopen(os.dup(results.fileno()), "ab") as file:
                            file.write(json.dumps(asdict(_attempt(*call, seconds))).encode() + b"\n")
                finally:
                    os._exit(0)
            status = _wait(child, results, seconds)
            results.seek(0)
            whole = results.read().split(b"\n")[:-1]  # a process that ended while it wrote leaves a part of a line
            outcomes += [Outcome(**json.loads(line)) for line in whole]
        if len(outcomes) < len(calls):
            result = "hang" if status == -signal.SIGKILL else "crash"
            outcomes.append(Outcome(calls[len(outcomes)][0], result, f"process ended with {status}"))
    return outcomes


def _wait(child: int, results, seconds: float) -> int:
    """Wait for a child that writes results; kill it when none comes for more than twice the time of a call."""
    size, since = 0, time.monotonic()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if os.fstat(results.fileno()).st_size != size:
            size, since = os.fstat(results.fileno()).st_size, time.monotonic()
        if time.monotonic() - since > 2 * seconds + 10:  # in a C library, where no signal is handled
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)


def counts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """{result: how many}, faults at 0 included."""
    table = dict.fromkeys((RIGHT, "clear error", "unclear error", "traceback", "crash", "hang", "memory"), 0)
    for outcome in outcomes:
        table[outcome.result] += 1
    return table
