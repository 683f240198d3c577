"""Measure the start-up: the time of `import rankiqa` over that of `import torch`, and the time of `rankiqa --help`."""

import subprocess
import sys
import time
from statistics import median

# the names that a user's first script needs
FIRST_LINES = "import rankiqa; rankiqa.build, rankiqa.load, rankiqa.read_image, rankiqa.score"


def _seconds(*command):
    """Return the run time of a Python process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(rounds):
    """Return ({ratio: value}, {median: seconds}); a first round fills the file cache and is not counted."""
    commands = {
        "python": ("-c", "pass"),
        "torch": ("-c", "import torch"),
        "rankiqa": ("-c", "import rankiqa"),
        "first_lines": ("-c", FIRST_LINES),
        "help": ("-m", "rankiqa", "--help"),
    }
    seconds = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            elapsed = _seconds(*command)
            if number:
                seconds[name].append(elapsed)
    medians = {f"{name}_seconds": median(values) for name, values in seconds.items()}
    ratios = {
        "rankiqa_over_torch": medians["rankiqa_seconds"] / medians["torch_seconds"],
        "first_lines_over_torch": medians["first_lines_seconds"] / medians["torch_seconds"],
    }
    return ratios, medians
