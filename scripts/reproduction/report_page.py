"""report.html: one file, nothing fetched from anywhere."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path

import charts
import cv2
import distorted_images
import numpy as np
from charts import COLOURS, Series
from compare import LAYER_TOLERANCE, Compared

from rankiqa.distortions import LIVE

SHEET = 42  # pictures shown from best to worst
STYLE = (Path(__file__).parent / "page.css").read_text()


def render(report: dict, found: Compared) -> str:
    """The page. Raises nothing for scores that are not numbers: they are shown as such."""
    side = found.side
    sections = [
        _verdict(report),
        _checks(report),
        _scores(found),
        _layers(report),
        _curves(report),
        _ranking(report),
        _ladders(found),
        _sheet(found),
        _label(report),
        _how(report, len(side.images)),
    ]
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width,initial-scale=1"><title>RankIQA: Caffe beside PyTorch</title>'
        f"<style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def _number(value, form: str = ".4f") -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None or value != value else format(value, form)


def _verdict(report: dict) -> str:
    images, score = report["images"], report["score"]
    agree = report["verdict"] == "agree"
    where = {
        "live": "The original Caffe ran here, in Docker, during this run.",
        "recorded": "Caffe did not run here: its answers are those that were recorded from a live run.",
    }[report["reference"]]
    if report["reference"] == "recorded":
        why, how = (html.escape(report[key]) for key in ("why_recorded", "to_run_live"))
        where += f" Why: {why}. To run it live: <code>{how}</code>"
    word = "Caffe and the port agree" if agree else "Caffe and the port disagree"
    return (
        f'<section class="verdict {report["verdict"]}"><p class="big">{word}</p>'
        "<p>RankIQA (Shallow), trained by the original Caffe on ranked distortions of photographs, then converted. "
        f"On {images['held_out']} held-out images the scores of the two engines differ by at most "
        f"{score['max_abs_diff']:.2g} on a range of {score['range']:.4g}.</p><p>{where}</p></section>"
    )


def _checks(report: dict) -> str:
    rows = "".join(
        f'<tr><td>{html.escape(check["name"])}</td><td class="n">{_number(check["value"], ".2e")}</td>'
        f'<td class="n">{_number(check["limit"], ".0e")}</td>'
        f'<td class="{"ok" if check["passed"] else "bad"}">{"passed" if check["passed"] else "failed"}</td></tr>'
        for check in report["checks"]
    )
    left = report["images"]["left_out"]
    note = (
        f'<p class="note">Left out, since this machine\'s codecs make them differently: {len(left)} images.</p>'
        if left
        else ""
    )
    return (
        "<section><h2>What the verdict rests on</h2>"
        '<table><tr><th>check</th><th class="n">found</th><th class="n">limit</th><th></th></tr>'
        f"{rows}</table>{note}</section>"
    )


def _scores(found: Compared) -> str:
    plots = []
    for name, title in (("rank", "Rank network"), ("ft", "Fine-tuned network")):
        caffe, port = (scores.mean(1, dtype=np.float64) for scores in (found.side.scores[name], found.port[name]))
        series = [
            Series(
                LIVE[kind].title if kind in LIVE else kind,
                colour,
                [
                    (float(caffe[i]), float(port[i]), f"{image.name}: Caffe {caffe[i]:.5f}, port {port[i]:.5f}")
                    for i, image in enumerate(found.side.images)
                    if image.distortion == kind
                ],
            )
            for kind, colour in COLOURS.items()
        ]
        plots.append(f"<div><h3>{title}</h3>{charts.scatter(series, 'score in Caffe', 'score in the port')}</div>")
    return (
        "<section><h2>Score against score</h2><p>Each point is a held-out image: the mean over the same crops in both "
        "engines. Higher is worse: the lists run from worst to pristine, as the original's do for LIVE.</p>"
        f'<div class="two">{"".join(plots)}</div></section>'
    )


def _layers(report: dict) -> str:
    plots = "".join(
        f"<div><h3>{title}</h3>{charts.bars(report['layers'][name], LAYER_TOLERANCE, 1e-8)}</div>"
        for name, title in (("rank", "Rank network"), ("ft", "Fine-tuned network"))
    )
    return (
        "<section><h2>Error of each layer</h2><p>max |port − Caffe| / max |Caffe| over everything the layer puts out, "
        f'for five held-out crops.</p><div class="two">{plots}</div></section>'
    )


def _curves(report: dict) -> str:
    rank, ft = report["curves"]["rank"], report["curves"]["ft"]

    def curve(drawn: list[Series], title: str) -> str:
        return charts.lines(drawn, "iteration", title, log_y=True)

    def series(points, name, colour, dashed=False):
        return Series(name, colour, [(float(x), float(y), "") for x, y in points], dashed)

    ranking = [
        series(rank["train"], "training photographs", "#2f6db5"),
        series(rank.get("test_loss", []), "held out", "#c2513a", True),
    ]
    tuning = [series(ft["train"], "training photographs", "#2f6db5")]
    return (
        "<section><h2>Training in Caffe</h2><p>As <code>caffe train</code> logged it.</p>"
        f"<div class='two'><div><h3>Rank training</h3>{curve(ranking, 'pair ranking loss')}</div>"
        f"<div><h3>Fine-tuning</h3>{curve(tuning, 'Euclidean loss')}</div></div></section>"
    )


def _ranking(report: dict) -> str:
    rows = "".join(
        f"<tr><td>{LIVE[name].title}</td>"
        + "".join(f'<td class="n">{_number(row[key], ".3f")}</td>' for key in ("untrained", "start", "caffe", "port"))
        + "</tr>"
        for name, row in report["per_distortion"].items()
    )
    total = [report["untrained_srocc"], report["start_srocc"], report["srocc"]["caffe"], report["srocc"]["port"]]
    rows += (
        "<tr><th>all together</th>" + "".join(f'<th class="n">{_number(one, ".3f")}</th>' for one in total) + "</tr>"
    )
    return (
        "<section><h2>Does the ranking rank?</h2><p>SROCC of the score with the true level (0 pristine, 5 worst) "
        "on photographs kept out of the training; 1 is perfect, the sign counts. A network that was never trained "
        "may order one distortion by accident, and then orders another one backwards.</p>"
        '<div class="wide"><table><tr><th>distortion</th><th class="n">untrained</th><th class="n">at the start</th>'
        f'<th class="n">trained, Caffe</th><th class="n">trained, port</th></tr>{rows}</table></div>'
        '<p class="note">Untrained: as Caffe\'s fillers leave it. At the start: where <code>caffe train</code> began, '
        "the same with filters in conv1 that sum to zero. All together is lower than each alone, since level 3 of one "
        "distortion is not as bad as level 3 of another.</p></section>"
    )


def _picture(pixels: np.ndarray, width: int = 150) -> str:
    height = round(pixels.shape[0] * width / pixels.shape[1])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 82])
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def _figure(image: distorted_images.Image, pixels: np.ndarray, score: float) -> str:
    kind = f"{image.distortion} {image.level}" if image.level else distorted_images.PRISTINE
    return (
        f'<figure><img alt="{html.escape(image.name)}" src="{_picture(pixels)}"><figcaption>'
        f'<span class="tag" style="color:{COLOURS[image.distortion]}">{kind}</span><b>{score:.1f}</b>'
        "</figcaption></figure>"
    )


def _ladders(found: Compared) -> str:
    images, scores = found.side.images, found.port["rank"].mean(1, dtype=np.float64)
    name = next((image.photograph for image in images if image.level == 0), images[0].photograph)
    strips = ""
    for kind in LIVE:
        mine = [
            i
            for i, one in enumerate(images)
            if one.photograph == name and one.distortion in (kind, distorted_images.PRISTINE)
        ]
        mine.sort(key=lambda i: scores[i])
        strips += f"<h3>{LIVE[kind].title}</h3><div class='wide'><div class='strip'>"
        strips += "".join(_figure(images[i], found.pixels[i], scores[i]) for i in mine) + "</div></div>"
    return (
        "<section><h2>One photograph, in the order of its scores</h2><p>Left is what the port's rank network likes "
        f"best. With a perfect ranking the levels run 1 to 5 after the pristine image.</p>{strips}</section>"
    )


def _sheet(found: Compared) -> str:
    images, scores = found.side.images, found.port["rank"].mean(1, dtype=np.float64)
    order = np.argsort(scores, kind="stable")
    picked = order[np.unique(np.linspace(0, len(order) - 1, min(SHEET, len(order))).round().astype(int))]
    figures = "".join(_figure(images[i], found.pixels[i], scores[i]) for i in picked)
    return (
        f"<section><h2>The held-out images from best to worst</h2><p>{len(picked)} of {len(order)}, evenly spaced in "
        f'the order of the port\'s rank score.</p><div class="sheet">{figures}</div></section>'
    )


def _label(report: dict) -> str:
    tuned = report["fine_tuned"]
    row = "".join(
        f"<tr><td>{title}</td><td class='n'>{_number(srocc, '.4f')}</td><td class='n'>{_number(lcc, '.4f')}</td></tr>"
        for title, srocc, lcc in (
            ("rank network, Caffe", tuned["rank_before"]["srocc"], tuned["rank_before"]["lcc"]),
            ("fine-tuned, Caffe", tuned["srocc"]["caffe"], tuned["lcc"]["caffe"]),
            ("fine-tuned, port", tuned["srocc"]["port"], tuned["lcc"]["port"]),
        )
    )
    return (
        f"<section><h2>What the label of the fine-tuning stands for</h2><p><b>{html.escape(tuned['label'])}</b>. "
        f"{html.escape(tuned['label_note'])}</p><table><tr><th>against this label, held out</th>"
        f"<th class='n'>SROCC</th><th class='n'>LCC</th></tr>{row}</table>"
        "<p class='note'>As in the original, the output layer is drawn anew for the fine-tuning. It has "
        f"{report['settings']['ft_iterations']} iterations here, 20,000 in the original: this shows "
        "that the step runs and converts, not what fine-tuning can do.</p></section>"
    )


def _how(report: dict, held_out: int) -> str:
    def listing(entries: dict) -> str:
        return (
            "<dl>"
            + "".join(f"<dt>{html.escape(str(k))}</dt><dd>{html.escape(str(v))}</dd>" for k, v in entries.items())
            + "</dl>"
        )

    settings, digests = report["settings"], report["digests"]
    command = f"scripts/reproduce --seed {settings['seed']}" + (" --images DIR" if report.get("own_images") else "")
    machine = {**report["versions"], "Caffe": report["caffe"].get("caffe", ""), **report["machine"]}
    timings = {key: f"{value} s" for key, value in report["timings"].items()}
    return (
        "<section><h2>Settings, and how to run it again</h2>"
        f"<pre>{command}</pre><p>Beside this page: <code>report.json</code> with every number, the weights as "
        "<code>rank.safetensors</code> and <code>ft.safetensors</code>, and in <code>caffe/</code> the images, lists, "
        "networks, solvers, logs and caffemodels of the run.</p>"
        f'<div class="two"><div><h3>Settings</h3>{listing(settings)}</div><div><h3>Versions and machine</h3>'
        f"{listing(machine)}<h3>Time</h3>{listing(timings)}</div></div><h3>Digests (SHA-256)</h3>{listing(digests)}"
        f'<p class="note">{held_out} held-out images of {report["images"]["photographs"]} photographs; '
        f"distortions: {html.escape(json.dumps({k: v.levels for k, v in LIVE.items()}))}</p></section>"
    )
