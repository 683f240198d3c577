"""Write report.html, one self-contained file, from templates/report.html."""

from __future__ import annotations

import base64
from pathlib import Path

import charts
import cv2
import distorted_images
import numpy as np
from charts import COLOURS, Series
from compare import LAYER_TOLERANCE, Compared
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rankiqa.distortions import LIVE

PICTURES = 42  # number of images shown from best to worst
NETWORKS = {"rank": "Rank network", "ft": "Fine-tuned network"}
TRAINING, HELD_OUT = COLOURS["GB"], COLOURS["GN"]


def render(report: dict, compared: Compared) -> str:
    """Return the page.

    Args:
        report: The content of report.json.
        compared: Both sides' scores and the held-out images. Scores may be nan.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["number"] = number
    return environment.get_template("report.html").render(
        report=report,
        live=LIVE,
        plotly_js=charts.plotly_js(),
        scores={title: _scores(name, compared) for name, title in NETWORKS.items()},
        layers={
            title: charts.bars(f"layers-{name}", report["layers"][name], LAYER_TOLERANCE)
            for name, title in NETWORKS.items()
        },
        curves=_curves(report["curves"]),
        one_photograph=_one_photograph(compared),
        best_to_worst=_best_to_worst(compared),
        held_out=len(compared.side.images),
    )


def number(value: float | bool | None, form: str = ".4f") -> str:
    """Return a number of the report as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None or value != value else format(value, form)


def _scores(name: str, compared: Compared):
    """Return the chart of the port's scores over Caffe's."""
    caffe, port = (scores.mean(1, dtype=np.float64) for scores in (compared.side.scores[name], compared.port[name]))
    points: dict[str, list] = {distortion: [] for distortion in COLOURS}
    for image, x, y in zip(compared.side.images, caffe.tolist(), port.tolist(), strict=True):
        points[image.distortion].append((x, y, f"{image.name}: Caffe {x:.5f}, port {y:.5f}"))
    series = [
        Series(LIVE[distortion].title if distortion in LIVE else distortion, COLOURS[distortion], at)
        for distortion, at in points.items()
    ]
    return charts.scatter(f"scores-{name}", series, "score in Caffe", "score in the port")


def _curves(curves: dict) -> dict:
    """Return {title: chart} of the loss curves."""

    def series(points: list, name: str, colour: str, dashed: bool = False) -> Series:
        """Return a series of a curve."""
        return Series(name, colour, [(float(x), float(y), "") for x, y in points], dashed)

    ranking = [
        series(curves["rank"]["train"], "training photographs", TRAINING),
        series(curves["rank"].get("test_loss", []), "held out", HELD_OUT, dashed=True),
    ]
    tuning = [series(curves["ft"]["train"], "training photographs", TRAINING)]
    return {
        "Rank training": charts.lines("curves-rank", ranking, "iteration", "pair ranking loss"),
        "Fine-tuning": charts.lines("curves-ft", tuning, "iteration", "Euclidean loss"),
    }


def _figure(image: distorted_images.Image, pixels: np.ndarray, score: float) -> dict:
    """Return the template's values of an image with its score."""
    return {
        "name": image.name,
        "picture": _thumbnail(pixels),
        "label": f"{image.distortion} {image.level}" if image.level else distorted_images.PRISTINE,
        "colour": COLOURS[image.distortion],
        "score": score,
    }


def _thumbnail(pixels: np.ndarray, width: int = 150) -> str:
    """Return an RGB image as the data URI of a small JPEG."""
    height = round(pixels.shape[0] * width / pixels.shape[1])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _one_photograph(compared: Compared) -> dict[str, list[dict]]:
    """Return {distortion: the versions of one photograph, in the order of their scores}."""
    images, scores = compared.side.images, compared.port["rank"].mean(1, dtype=np.float64)
    photograph = next((image.photograph for image in images if image.level == 0), images[0].photograph)
    rows = {}
    for distortion in LIVE:
        wanted = (distortion, distorted_images.PRISTINE)
        versions = [i for i, im in enumerate(images) if im.photograph == photograph and im.distortion in wanted]
        versions.sort(key=lambda i: scores[i])
        rows[LIVE[distortion].title] = [_figure(images[i], compared.pixels[i], scores[i]) for i in versions]
    return rows


def _best_to_worst(compared: Compared) -> list[dict]:
    """Return PICTURES held-out images, evenly spaced in the order of their scores."""
    images, scores = compared.side.images, compared.port["rank"].mean(1, dtype=np.float64)
    order = np.argsort(scores, kind="stable")
    shown = order[np.unique(np.linspace(0, len(order) - 1, min(PICTURES, len(order))).round().astype(int))]
    return [_figure(images[i], compared.pixels[i], scores[i]) for i in shown]
