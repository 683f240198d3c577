"""The results of a run as one dictionary, report.json."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import caffe_training
import compare
import distorted_images
import numpy as np
from compare import Compared


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python and the packages that affect the results."""
    names = ("torch", "numpy", "scipy", "opencv-python-headless", "pillow", "scikit-image", "safetensors")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def build(
    compared: Compared, folder: Path, reference: str, caffe: dict, recipe: caffe_training.Recipe, seed: int, more: dict
) -> dict:
    """Build the report.

    Args:
        compared: The results of both sides.
        folder: The folder with the converted weights.
        reference: "live" or "recorded".
        caffe: A description of the Caffe that was used.
        recipe: The settings.
        seed: The seed.
        more: Further entries of the report.
    """
    side, port = compared.side, compared.port
    levels = np.array([image.level for image in side.images], np.float64)
    labels = np.array([image.label for image in side.images])
    truth = {"rank": levels, "ft": labels}
    both = {
        name: {
            "score": compare.score_difference(port[name], side.scores[name]),
            "caffe": compare.correlations(side.scores[name], truth[name]),
            "port": compare.correlations(port[name], truth[name]),
        }
        for name in compare.TRAINED
    }
    layers = {
        name: compare.layer_errors(folder / f"{name}.safetensors", side.layer_crops, side.layers[name])
        for name in compare.TRAINED
    }
    pixels_equal = side.pixels == [distorted_images.pixel_digest(image) for image in compared.pixels]
    checks = _checks(compared, both, layers, pixels_equal)
    rank, fine_tuned = (both[name] for name in compare.TRAINED)
    untrained, start = (compare.correlations(side.scores[name], levels) for name in ("untrained", "start"))
    by_engine = {
        "untrained": side.scores["untrained"],
        "start": side.scores["start"],
        "caffe": side.scores["rank"],
        "port": port["rank"],
    }
    return {
        "verdict": "agree" if all(check["passed"] for check in checks) else "disagree",
        "reference": reference,
        "weights_equal": all(compared.weights_equal.values()),
        "score": rank["score"],
        "srocc": {engine: rank[engine]["srocc"] for engine in ("caffe", "port")},
        "lcc": {engine: rank[engine]["lcc"] for engine in ("caffe", "port")},
        "untrained_srocc": untrained["srocc"],
        "start_srocc": start["srocc"],
        "per_distortion": compare.by_distortion(side.images, by_engine),
        "fine_tuned": {
            "score": fine_tuned["score"],
            "srocc": {engine: fine_tuned[engine]["srocc"] for engine in ("caffe", "port")},
            "lcc": {engine: fine_tuned[engine]["lcc"] for engine in ("caffe", "port")},
            "label": distorted_images.STAND_IN,
            "label_note": distorted_images.STAND_IN_NOTE,
            "rank_before": compare.correlations(side.scores["rank"], labels),
        },
        "layers": layers,
        "checks": checks,
        "pixels_equal": pixels_equal,
        "curves": side.curves,
        "images": {
            "held_out": len(side.images),
            "photographs": len({image.photograph for image in side.images}),
            "left_out": compared.left_out,
            "digest": hashlib.sha256("".join(side.pixels).encode()).hexdigest(),
        },
        "settings": {**asdict(recipe), "seed": seed, "arch": caffe_training.ARCH},
        "caffe": caffe,
        "versions": versions(),
        "machine": {"cpus": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"},
        "digests": {
            **{f"{name}.caffemodel": file_digest(model) for name, model in side.models.items()},
            **{f"{name}.safetensors": file_digest(folder / f"{name}.safetensors") for name in side.models},
        },
        **more,
    }


def _checks(compared: Compared, both: dict, layers: dict, pixels_equal: bool) -> list[dict]:
    """Return the checks that decide the verdict: name, value, limit, passed (nan never passes)."""
    checks = [
        {"name": "pixels read by both engines are equal", "value": pixels_equal, "limit": True, "passed": pixels_equal}
    ]
    titles = {"rank": "rank", "ft": "fine-tuned"}
    for name, title in titles.items():
        equal = compared.weights_equal[name]
        checks.append({"name": f"weights, {title}: bit for bit", "value": equal, "limit": True, "passed": equal})
    for name, title in titles.items():
        score = both[name]["score"]
        relative = score["max_abs_diff"] / score["range"] if score["range"] else float("nan")
        worst = max(layers[name].values())
        rows = [("largest layer error", worst, compare.LAYER_TOLERANCE)]
        rows += [("largest score difference / score range", relative, compare.SCORE_TOLERANCE)]
        for key in ("srocc", "lcc"):
            values = [both[name][engine][key] for engine in ("caffe", "port")]
            difference = float("nan") if None in values else abs(values[0] - values[1])
            rows.append((f"{key.upper()} difference", difference, compare.CORRELATION_TOLERANCE))
        for what, value, limit in rows:
            checks.append({"name": f"{what}, {title}", "value": value, "limit": limit, "passed": bool(value <= limit)})
    return checks


def as_json(report: dict) -> str:
    """Return the report as valid JSON: nan and infinite values become null."""

    def clean(value):
        """Replace nan and infinite values by None."""
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [clean(item) for item in value]
        return None if isinstance(value, float) and not np.isfinite(value) else value

    return json.dumps(clean(report), indent=1, allow_nan=False) + "\n"
