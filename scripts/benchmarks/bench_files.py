"""Measure `rankiqa.score_many` with Shallow on many files: results for 1,000 good and 100 bad files, memory, waiting.

waiting_share: the share of the time in which the network had no image, with two reading threads (photographs, 30
crops). memory_growth_mb: by how much 9,000 files increase the memory of the process after the first 1,000.
evaluate_over_single_calls: the time of `rankiqa.score` for each photograph over that of the scores of `rankiqa
evaluate` for the same list. evaluate_same_bits: the share of its scores that equal those of single calls bit for bit.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import psutil
import torch

import rankiqa
from rankiqa.data.image_sources import sources_of_all
from rankiqa.evaluation.rated_images import RatedImage
from rankiqa.evaluation.scored_images import score_images
from rankiqa.models import memory
from rankiqa.scoring.engines import TorchEngine
from rankiqa.scoring.many import ScoreSettings, score_many, score_sources

GOOD, BAD, FILES = 1_000, 100, 10_000
PHOTOGRAPHS = Path(__file__).resolve().parents[2] / "parity_tests" / "photographs"


class _Timed(TorchEngine):
    """An engine that measures its computing time."""

    seconds = 0.0

    def scores(self, crops):
        """Score crops and add the time to `seconds`."""
        start = time.perf_counter()
        outputs = super().scores(crops)
        self.seconds += time.perf_counter() - start
        return outputs


def _files(folder):
    """Write GOOD files with different pixels, and BAD files between them."""
    rng = np.random.default_rng(0)
    for k in range(GOOD):
        cv2.imwrite(str(folder / f"{k:04}.bmp"), rng.integers(0, 256, (228, 228, 3), np.uint8))
    contents = [b"", b"no image", (folder / "0000.bmp").read_bytes()[:999], b"\x89PNG\r\n\x1a\n" + bytes(40)]
    for k in range(BAD):
        (folder / f"{10 * k:04}-bad.bmp").write_bytes(contents[k % len(contents)])


def _right(model, folder, rows):
    """Return (number of scores that equal a single call's, number of bad files with an error message)."""
    right = reasons = 0
    for row in rows:
        path = Path(row["path"])
        if "error" in row:
            reasons += path.stem.endswith("-bad") and bool(row["error"])
        else:
            right += row["score"] == rankiqa.score(model, rankiqa.read_image(path), crops=1).score
    return right, reasons


def _evaluation(model, rounds):
    """Return (time of single calls over that of an evaluation's scores, share of scores that are equal bit for bit)."""
    paths = sorted(PHOTOGRAPHS.glob("*.jpg"))
    images = [RatedImage(str(path), float(number)) for number, path in enumerate(paths)]
    ratios, same = [], 0.0
    for _ in range(rounds):
        start = time.perf_counter()
        single = [rankiqa.score(model, rankiqa.read_image(path)).score for path in paths]
        middle = time.perf_counter()
        many = [image.score for image in score_images(model, images)]
        ratios.append((middle - start) / (time.perf_counter() - middle))
        same = float(np.mean([a == b for a, b in zip(single, many, strict=True)]))
    return median(ratios), same


def measure(rounds):
    """Return ({ratio: value}, {median: value})."""
    memory.keep_freed()
    torch.manual_seed(0)
    model = rankiqa.build("shallow").eval()
    with tempfile.TemporaryDirectory(prefix="rankiqa-bench-") as name:
        folder = Path(name)
        _files(folder)
        print(f"bench: {GOOD} good files and {BAD} bad ones", file=sys.stderr)
        rows = list(score_many(model, folder, crops=1))
        right, reasons = _right(model, folder, rows)
        paths = sorted(folder.glob("*.bmp"))
        print(f"bench: {FILES} files", file=sys.stderr)
        process, used = psutil.Process(), []
        start = time.perf_counter()
        for number, _ in enumerate(score_many(model, (paths[k % len(paths)] for k in range(FILES)), crops=1), start=1):
            if number in (1_000, FILES):
                used.append(process.memory_info().rss / 1e6)
        file_seconds = (time.perf_counter() - start) / FILES
    waits = []
    for _ in range(rounds):
        engine = _Timed(model)
        start = time.perf_counter()
        list(score_sources(engine, sources_of_all([PHOTOGRAPHS]), ScoreSettings(), workers=2))
        waits.append(1 - engine.seconds / (time.perf_counter() - start))
    evaluate, same = _evaluation(model, rounds)
    ratios = {
        "right_scores": float(right),
        "reasons": float(reasons),
        "rows": float(len(rows)),
        "memory_growth_mb": used[1] - used[0],
        "waiting_share": median(waits),
        "evaluate_over_single_calls": evaluate,
        "evaluate_same_bits": same,
    }
    return ratios, {"file_s": file_seconds, "memory_mb": used[0]}
