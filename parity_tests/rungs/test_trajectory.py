"""Rung `trajectory`: rank, then fine-tuning, in both engines from one seed; nothing is exchanged."""

import numpy as np
import pytest

import rankiqa
from caffe_client import Live, NotRecorded
from lib import trajectory
from lib.drift import told
from lib.tolerances import LOSS_WALK, SCORE_WALK, SROCC_WALK, TRAINED_LOSS, TRAINED_WEIGHTS
from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.data.lists import read_list
from rankiqa.data.order import FAITHFUL, Quirks
from rankiqa.models.architectures import ARCHITECTURES
from rankiqa.models.network import fill
from rankiqa.scoring.score import score_crops
from rankiqa.training.trainer import Trainer

CROPS = 5  # a held-out image
# 24 and 12 images a minibatch rather than 48 and 30, for time; rates below which the walk is chaotic: at 2e-6, which
# learns faster, the loss is 1e-2 apart after a hundred iterations
SHALLOW = {
    "rank": {"images": 1, "base_lr": 4e-8, "stepsize": 150},
    "ft": {"batch": 12, "base_lr": 4e-10, "stepsize": 150},
}


def _held_out(images, crop):
    """(paths, levels, offsets) of the images that are scored at the end."""
    found = read_list(images / "rank_test.txt")
    random = np.random.RandomState(trajectory.SEED)
    offsets = [rankiqa.crop_offsets(*trajectory.SIZE, crop, CROPS, random) for _ in found.paths]
    return found.paths, found.labels, np.array(offsets)


def caffe_walk(caffe, case, images, arch, presets):
    """Caffe's answer: losses and parameters of each task and, after fine-tuning, held-out scores."""
    iterations, files, jobs = {}, trajectory.image_files(images), []
    for task, preset in presets.items():
        files.update(trajectory.caffe_files(arch, preset))
        iterations[task] = preset.solver.max_iter
        job = {"name": task, "kind": "solve", "solver": f"{task}_solver.prototxt", "steps": preset.solver.max_iter,
               "save": "ft" in presets, "return": ["params"]}  # fmt: skip
        if task == "ft":
            job["weights"] = f"rank_iter_{iterations['rank']}.caffemodel"
        jobs.append(job)
    arrays = {}
    if "ft" in presets:
        crop = ARCHITECTURES[arch].crop
        paths, _, arrays["offsets"] = _held_out(images, crop)
        jobs.append({"name": "s", "kind": "score", "net": "ft_deploy.prototxt", "output": "fc1", "crop": crop,
                     "weights": f"ft_iter_{iterations['ft']}.caffemodel", "batch": CROPS, "offsets": "offsets",
                     "images": [{"path": path} for path in paths]})  # fmt: skip
    if isinstance(caffe, Live):
        caffe = caffe.unverified(caffe.keep)  # the images depend on the JPEG encoders' version
    try:
        return caffe.ask(case, jobs, arrays, files)
    except NotRecorded as error:
        pytest.skip(f"{error} (the images depend on the JPEG encoders' version)")


def port_walk(
    images, arch, presets, out, seed=trajectory.SEED, quirks=FAITHFUL, changes=None, products=None,
    prepare=lambda trainer: None,
):  # fmt: skip
    """{task: (losses, model)} of the port. prepare: takes each trainer before it runs."""
    found, weights = {}, None
    for task, preset in presets.items():
        preset = preset.but(**changes or {})
        lists = {split: read_list(images / f"{task}_{split}.txt", images) for split in ("train", "test")}
        trainer = Trainer.from_preset(preset, arch, **lists, seed=seed, weights=weights, out=out, cache_mb=400,
                          quirks=quirks, products=products, log=lambda line: None)  # fmt: skip
        prepare(trainer)
        trainer.run()
        weights = out / f"{preset.name}_iter_{preset.solver.max_iter}.safetensors"
        found[task] = (np.array(trainer.losses), trainer.model)
    return found


def distances(caffes, ours):
    """{iteration: |loss - Caffe's| / max(Caffe's, 1)}."""
    apart = np.abs(np.asarray(ours, np.float64) - caffes) / np.maximum(caffes, 1)
    return dict(enumerate(apart.tolist(), start=1))


def held_out_scores(model, images):
    """(the port's scores (images, CROPS), the levels (images,)) at the crops that Caffe scored."""
    paths, levels, offsets = _held_out(images, model.crop)
    scores = [
        score_crops(model, rankiqa.read_image(images / path), at) for path, at in zip(paths, offsets, strict=True)
    ]
    return np.array(scores), levels


def test_shallow(caffe, parity, images, tmp_path):
    presets = trajectory.presets("shallow", "live", 300, **SHALLOW)
    answer = caffe_walk(caffe, "trajectory/shallow", images, "shallow", presets)
    walked = port_walk(images, "shallow", presets, tmp_path)
    for task, (losses, model) in walked.items():
        apart = distances(*trajectory.both(answer, task, losses))
        for n in (100, 300):
            worst = max(distance for at, distance in apart.items() if at <= n)
            parity.check("trajectory", f"shallow {task}: loss, iterations 1..{n}; {told(apart)}", worst, LOSS_WALK)
        for layer, error in trajectory.layer_errors(answer, f"{task}/param", model).items():
            parity.check("trajectory", f"shallow {task}: {layer} at the end", error, SCORE_WALK)
    model = walked["ft"][1].eval()
    ours, levels = held_out_scores(model, images)
    caffes = answer.array("s/scores")
    apart = np.abs(ours.mean(1) - caffes.mean(1)).max() / np.ptp(caffes.mean(1))
    parity.check("trajectory", "shallow: held-out scores, of their range", apart, SCORE_WALK)
    found = [rankiqa.srocc(scores.mean(1), -levels) for scores in (ours, caffes)]
    parity.check("trajectory", f"shallow: held-out SROCC, Caffe {found[1]:.3f}", abs(found[0] - found[1]), SROCC_WALK)

    short = {"rank": presets["rank"].but(max_iter=10)}
    wrong = {
        "the next seed": {"seed": trajectory.SEED + 1},
        "crops to the last offset": {"quirks": Quirks(last_offset_never_drawn=False)},
        "no momentum": {"changes": {"momentum": 0.0}},
    }
    for name, options in wrong.items():
        other, _ = port_walk(images, "shallow", short, tmp_path, **options)["rank"]
        apart = max(distances(*trajectory.both(answer, "rank", other)).values())
        parity.must_fail("trajectory", f"wrong: {name}", apart, LOSS_WALK)


BIG = {"alexnet": {"base_lr": 4e-6, "stepsize": 10}, "vgg16": {"base_lr": 4e-6, "stepsize": 2}}
BIG_ITERATIONS = {"alexnet": 20, "vgg16": 3}
_answers = {}


def big_walk(caffe, images, arch):
    """(Caffe's answer, presets) of a few iterations of ranking with dropout; Caffe is asked once a session."""
    presets = trajectory.presets(
        arch, "live", BIG_ITERATIONS[arch], rank={"images": 1, "test_interval": 1000, **BIG[arch]}
    )
    del presets["ft"]
    if arch not in _answers:
        _answers[arch] = caffe_walk(caffe, f"trajectory/{arch}", images, arch, presets)
    return _answers[arch], presets


@pytest.mark.parametrize("arch", ["alexnet", pytest.param("vgg16", marks=pytest.mark.slow)])
def test_with_dropout(caffe, parity, images, tmp_path, arch):
    """Masks as well; the rate drops on the way, and the TEST net's words are passed over."""
    answer, presets = big_walk(caffe, images, arch)
    losses, model = port_walk(images, arch, presets, tmp_path)["rank"]
    apart = distances(*trajectory.both(answer, "rank", losses))
    parity.check(
        "trajectory", f"{arch}: loss of {len(losses)} iterations; {told(apart)}", max(apart.values()), TRAINED_LOSS
    )
    # As lengths: single weights of VGG-16 come to 2.6e-5 of the largest, none with Caffe's products (test_same_blas.py)
    for layer, error in trajectory.layer_distances(answer, "rank/param", model).items():
        parity.check("trajectory", f"{arch}: {layer} at the end", error, TRAINED_WEIGHTS)

    def without_test_net(trainer):
        """As if the TEST net drew nothing: the weights are the same, the masks are not."""
        random = CaffeRandom(trajectory.SEED)
        fill(ARCHITECTURES[arch], random)
        trainer.model.use_random(random)

    short = {"rank": presets["rank"].but(max_iter=2)}
    other, _ = port_walk(images, arch, short, tmp_path, prepare=without_test_net)["rank"]
    wrong = max(distances(*trajectory.both(answer, "rank", other)).values())
    parity.must_fail("trajectory", f"wrong: {arch}, the TEST net's words not passed over", wrong, TRAINED_LOSS)
