"""On start, the four unchanged train scripts log the same lines as on the authors' machine in 2017."""

import subprocess

import pytest
import run_original
from authors_logs import END, LOGS, RENAMED, normalised, unexplained

from caffe_client import IMAGE


@pytest.fixture(scope="module")
def started(ready):
    """Return {log: the script's log in our container until the solver starts}."""
    logs = {}
    for log, (script, _) in LOGS.items():
        name = "rankiqa-start-" + log.split("/")[1]
        command = run_original.command(IMAGE, ready, [script], limits=("--name", name))
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if END in line:
                    subprocess.run(["docker", "kill", name], capture_output=True)
        logs[log] = "".join(lines)
    return logs


@pytest.mark.parametrize("log", LOGS)
def test_start_up(started, checkout, parity, log):
    theirs = (checkout / log).read_text()
    left, renamed = unexplained(log, theirs, started[log])
    assert renamed == RENAMED.get(log, 0)
    parity.check("logs", f"{log}: lines unlike the authors', not explained", len(left), 0)
    assert len(normalised(theirs)) > 1800


@pytest.mark.parametrize("log", LOGS)
def test_a_wrong_net_is_seen(started, checkout, parity, log):
    """A changed layer and a changed memory figure are each detected."""
    theirs = (checkout / log).read_text()
    for old, new in (
        ("num_output: 512", "num_output: 511"),
        ("Memory required for data: ", "Memory required for data: 1"),
    ):
        assert old in started[log]
        wrong = started[log].replace(old, new, 1)
        parity.must_fail("logs", f"wrong: {log}, {new}", len(unexplained(log, theirs, wrong)[0]), 0)
