"""Compare converting a VGG-16 caffemodel (537 MB) with copying the file: time, and memory over file size.

Each round copies (cp), then converts in a new process; Python's start counts. Both read from a warm page cache.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from sample_networks import ROOT, random_caffemodel


def _timed(command):
    """Run a command and return (seconds, peak resident memory in bytes)."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def measure(rounds):
    """Return ({ratio: value}, {median: value})."""
    with tempfile.TemporaryDirectory(prefix="rankiqa-bench-") as folder:
        model = Path(folder, "vgg16.caffemodel")
        # Create the model in another process, because a child's peak memory starts at its parent's
        subprocess.run(
            [sys.executable, __file__, model], check=True, env={**os.environ, "PYTHONPATH": ":".join(sys.path)}
        )
        size, copies, conversions, memories = model.stat().st_size, [], [], []
        for _ in range(rounds):
            copy = Path(folder, "copy")
            copies.append(_timed(["cp", model, copy])[0])
            copy.unlink()
            out = Path(folder, "vgg16.safetensors")
            seconds, memory = _timed([sys.executable, ROOT / "conversion" / "convert.py", model, "--out", out])
            out.unlink()
            conversions.append(seconds)
            memories.append(memory / size)
    ratios = {
        "time_over_cp": median(b / a for a, b in zip(copies, conversions, strict=True)),
        "memory_over_size": median(memories),
    }
    return ratios, {"cp_s": median(copies), "convert_s": median(conversions), "size_bytes": float(size)}


if __name__ == "__main__":
    random_caffemodel(sys.argv[1], "vgg16")
