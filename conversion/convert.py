#!/usr/bin/env python3
"""Convert RankIQA's weights from Caffe to the PyTorch port, or back; the same tool as `rankiqa convert`."""

import sys

try:
    from rankiqa.cli.guard import guarded
    from rankiqa_convert.cli import main
except ModuleNotFoundError as missing:
    sys.exit(f"convert.py: {missing.name} is not installed here: run scripts/env, then .venv/bin/python {sys.argv[0]}")

if __name__ == "__main__":
    sys.exit(guarded(lambda argv: main(list(argv), prog="convert.py"), sys.argv[1:], "convert.py"))
