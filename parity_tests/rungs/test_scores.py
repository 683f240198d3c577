"""Parity tests `scores`, `correlation` and `engines`.

They compare the scores of whole images, SROCC and LCC of scores, and the outputs of OpenCV's Caffe importer and ONNX
Runtime, two independent engines for the same files.
"""

import hashlib

import cv2
import numpy as np
import pytest
import torch

import rankiqa
from lib.tolerances import CORRELATION, EXACT, LAYER, SCORE, SCORE_OF_VGG16S_CROP_WITH_AVX2
from rankiqa.scoring.image_score import score_crops
from sample_networks import CROPS, converted, deploy_text, photograph_crops, random_caffemodel

PHOTOGRAPHS = sorted(CROPS.glob("*.png"))
# arch, net of the original, crops per image
SCORED = [
    ("shallow", "live-rank", 30),
    ("alexnet", "live-ft", 4),
    pytest.param("vgg16", "live-ft", 2, marks=pytest.mark.slow),
]


def _range(scores):
    return float(scores.max() - scores.min())


@pytest.mark.parametrize(("arch", "like", "crops"), SCORED)
def test_scores(caffe, parity, tmp_path, arch, like, crops):
    """Caffe reads the image files itself, as BGR, and cuts the crops that numpy's RandomState(0) draws."""
    path = random_caffemodel(tmp_path / "random.caffemodel", arch, like, seed=2)
    model = converted(path)
    images = [rankiqa.read_image(photograph) for photograph in PHOTOGRAPHS]
    offsets = np.stack(
        [rankiqa.crop_offsets(*i.shape[:2], model.crop, crops, np.random.RandomState(0)) for i in images]
    )
    job = {"name": "s", "kind": "score", "net": "deploy.prototxt", "weights": "random.caffemodel"}
    job.update(output=model.head, crop=model.crop, offsets="offsets", images=[{"path": p.name} for p in PHOTOGRAPHS])
    files = {"deploy.prototxt": deploy_text(arch, like), "random.caffemodel": path}
    answer = caffe.ask(f"scores/{arch}", [job], {"offsets": offsets}, {**files, **{p.name: p for p in PHOTOGRAPHS}})
    theirs = answer.array("s/scores")
    pixels = answer.array("s/pixels")
    for i, image in enumerate(images):
        differ = float((np.frombuffer(_sha256(image[:, :, ::-1]), np.uint8) != pixels[i]).any())
        parity.check("scores", f"{arch} {PHOTOGRAPHS[i].name}: the pixels read", differ, EXACT)
    ours = np.stack([score_crops(model, image, offsets[i]) for i, image in enumerate(images)])
    wide = arch == "vgg16" and torch.backends.cpu.get_cpu_capability() != "AVX512"
    tolerance = SCORE_OF_VGG16S_CROP_WITH_AVX2 if wide else SCORE
    parity.check("scores", f"{arch}: every crop", np.abs(ours - theirs).max() / _range(theirs), tolerance)
    results = [rankiqa.score(model, image, crops=crops, seed=0) for image in images]
    means, medians = theirs.mean(1, dtype=np.float64), np.median(theirs, axis=1)
    spread = _range(means)
    parity.check("scores", f"{arch}: score", np.abs([r.score for r in results] - means).max() / spread, SCORE)
    parity.check("scores", f"{arch}: median", np.abs([r.median for r in results] - medians).max() / spread, SCORE)
    swapped = [rankiqa.score(model, image[:, :, ::-1].copy(), crops=crops).score for image in images]
    parity.must_fail("scores", f"wrong: {arch}, RGB for BGR", np.abs(swapped - means).max() / spread, SCORE)
    other = [rankiqa.score(model, image, crops=crops, seed=1).score for image in images]
    parity.must_fail("scores", f"wrong: {arch}, another seed", np.abs(other - means).max() / spread, SCORE)
    as_columns = [
        score_crops(model, image, np.minimum(offsets[i][:, ::-1], 20)).mean() for i, image in enumerate(images)
    ]
    parity.must_fail("scores", f"wrong: {arch}, left for top", np.abs(as_columns - means).max() / spread, SCORE)


def _sha256(image):
    return hashlib.sha256(np.ascontiguousarray(image)).digest()


def _double_argsort(a, b):
    """Compute SROCC as YunanZhu's port does, without averaging the ranks of ties."""
    ranks = [np.argsort(np.argsort(x, kind="stable"), kind="stable").astype(float) for x in (a, b)]
    return np.corrcoef(*ranks)[0, 1]


CORRELATIONS = {"plain": 0, "ties": 3, "many ties": 8}


@pytest.mark.parametrize("case", CORRELATIONS)
def test_correlation(caffe, parity, case):
    rng = np.random.RandomState(4)
    scores = rng.randn(40).astype(np.float32)
    labels = (scores + rng.randn(40)).astype(np.float32)
    if CORRELATIONS[case]:
        grid = 8 / CORRELATIONS[case]
        scores, labels = np.round(scores * grid) / grid, np.round(labels * grid / 2)
        assert len(np.unique(scores)) < 40
    net = """
        input: "scores" input_shape { dim: 40 dim: 1 } input: "labels" input_shape { dim: 40 }
        layer { name: "op" type: "Python" bottom: "scores" bottom: "labels" top: "srocc" top: "lcc"
                python_param { module: "caffe_ref.layers.correlation" layer: "Correlation" } }
    """
    job = {"name": "net", "kind": "forward", "net": "net.prototxt", "return": ["tops"]}
    job["inputs"] = {"scores": "scores", "labels": "labels"}
    arrays = {"scores": scores[:, None].astype(np.float32), "labels": labels.astype(np.float32)}
    answer = caffe.ask(f"correlation/{case.replace(' ', '_')}", [job], arrays, {"net.prototxt": net})
    srocc, lcc = (answer.array(f"net/top/op/{k}").item() for k in (0, 1))
    parity.check("correlation", f"{case}: SROCC", abs(rankiqa.srocc(scores, labels) - srocc), CORRELATION)
    parity.check("correlation", f"{case}: LCC", abs(rankiqa.lcc(scores, labels) - lcc), CORRELATION)
    parity.must_fail(
        "correlation", f"wrong: {case}, LCC for SROCC", abs(rankiqa.lcc(scores, labels) - srocc), CORRELATION
    )
    if CORRELATIONS[case]:
        error = abs(_double_argsort(scores, labels) - srocc)
        parity.must_fail("correlation", f"wrong: {case}, double argsort (YunanZhu)", error, CORRELATION)


ENGINES = [
    ("shallow", "live-rank"),
    ("alexnet", "tid2013-ft"),
    pytest.param("vgg16", "live-rank", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("arch", "like"), ENGINES)
def test_opencv_agrees(parity, tmp_path, arch, like):
    """OpenCV 4's importer reads the prototxt and the caffemodel; it shares no code with Caffe or the port."""
    path = random_caffemodel(tmp_path / "random.caffemodel", arch, like, seed=3)
    model = converted(path)
    (tmp_path / "deploy.prototxt").write_text(deploy_text(arch, like))
    net = cv2.dnn.readNetFromCaffe(str(tmp_path / "deploy.prototxt"), str(path))
    crops = photograph_crops(1, model.crop, seed=3)
    net.setInput(crops)
    theirs = net.forward().reshape(-1)
    with torch.inference_mode():
        layers = model.forward_layers(torch.from_numpy(crops))
        ours = layers[model.head].numpy().reshape(-1)
        scale = float(layers[model.head].abs().max())
        mirrored = model(torch.from_numpy(crops[:, ::-1].copy())).numpy().reshape(-1)
    parity.check("engines", f"{arch} {like}: OpenCV", np.abs(ours - theirs).max() / scale, 10 * LAYER)
    parity.must_fail("engines", f"wrong: {arch}, RGB for BGR", np.abs(mirrored - theirs).max() / scale, 10 * LAYER)


@pytest.mark.parametrize(("arch", "like"), ENGINES[:2])
def test_onnx_agrees(parity, tmp_path, arch, like):
    """ONNX Runtime runs the file that convert.py --onnx writes."""
    import onnxruntime

    from rankiqa_convert import cli as convert

    path = random_caffemodel(tmp_path / "random.caffemodel", arch, like, seed=3)
    model = converted(path)
    assert convert.main([str(path), "--onnx", str(tmp_path / "net.onnx")]) == 0
    crops = photograph_crops(2, model.crop, seed=3)
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    (theirs,) = session.run([model.head], {"data": crops})
    with torch.inference_mode():
        ours = model(torch.from_numpy(crops)).numpy()
    parity.check(
        "engines", f"{arch} {like}: ONNX Runtime", np.abs(ours - theirs).max() / np.abs(ours).max(), 10 * LAYER
    )
