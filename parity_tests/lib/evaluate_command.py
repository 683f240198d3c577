"""Fixtures of the tests of `rankiqa evaluate`; unit/conftest.py imports them, so every unit test can ask for them."""

import json

import pytest

from rankiqa.cli import main


@pytest.fixture
def evaluate(capsys, rated_folder, weights):
    """evaluate(*options) -> (status, stdout, stderr) of the command on the rated photographs with 3 crops.

    source: another list or file of scores; bare: without --weights, --root and --crops.
    """

    def run(*options, source=None, bare=False):
        words = [source or rated_folder / "list.txt", *options]
        if not bare:
            words += ["--weights", weights, "--root", rated_folder, "--crops", 3]
        status = main(["evaluate", *map(str, words)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def evaluate_json(evaluate):
    """evaluate_json(*options) -> the result that `rankiqa evaluate --json` prints."""

    def run(*options, **keywords):
        status, out, _ = evaluate("--json", *options, **keywords)
        assert status == 0
        return json.loads(out)

    return run
