"""Trainings that both engines run from one seed, without exchanging anything else: `trajectory` and `same-blas`.

Caffe needs minutes for those of Shallow. `EarlyTrainings` starts them before the first test, so that they run beside
the other tests. Each uses one core: one thread computes every product of matrices.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import engine
import rankiqa
import sample_training
from caffe_client import Live
from lib.recordings import NotRecorded, VerifiedLive
from rankiqa.data.image_lists import read_list
from rankiqa.data.order import FAITHFUL
from rankiqa.models.architectures import ARCHITECTURES
from rankiqa.scoring.image_score import score_crops
from rankiqa.training.trainer import Trainer

CROPS = 5  # per held-out image
THREADS = 1  # of Caffe's OpenBLAS in trainings of Shallow, live and recorded: the bits of its sums depend on it
# The iterations of each task, and its settings. The rate drops half way. Minibatches have 24 and 12 images instead of
# 48 and 30, to save time; for the same reason CI runs only the short trainings for each change
SHALLOW = {
    # Rates that do not amplify rounding: at 2e-6, which learns faster, the losses differ by 1e-2 after 100 iterations
    "trajectory/shallow": (300, {"base_lr": 4e-8}, {"base_lr": 4e-10}),
    # Rates that learn
    "same_blas/shallow": (300, {"base_lr": 2e-6}, {"base_lr": 2e-8}),
    "same_blas/shallow_short": (100, {"base_lr": 2e-6}, {"base_lr": 2e-8}),
}
# Ranking with dropout: the network, the iterations, and the iterations after which the rate drops
DROPOUT = {
    "trajectory/alexnet": ("alexnet", 20, 10),
    "trajectory/alexnet_short": ("alexnet", 6, 3),
    "trajectory/vgg16": ("vgg16", 3, 2),
}
_answers = {}


def shallow_presets(case):
    """Return {task: preset} for a case of SHALLOW."""
    iterations, rank, ft = SHALLOW[case]
    step = {"stepsize": iterations // 2}
    changes = {"rank": {"images": 1, **rank, **step}, "ft": {"batch": 12, **ft, **step}}
    return sample_training.presets("shallow", "live", iterations, **changes)


def _held_out(images, crop):
    """Return (paths, levels, offsets) of the images that are scored at the end."""
    lines = read_list(images / "rank_test.txt")
    random = np.random.RandomState(sample_training.SEED)
    offsets = [rankiqa.crop_offsets(*sample_training.SIZE, crop, CROPS, random) for _ in lines.paths]
    return lines.paths, lines.labels, np.array(offsets)


def train_in_caffe(caffe, case, images, arch, presets):
    """Train in Caffe.

    Args:
        caffe: Live or Recorded.
        case: name of the question.
        images: folder of sample_training.make_images.
        arch: name of the network.
        presets: {task: preset}; "ft" starts from the weights that "rank" ends with.

    Returns:
        Answer: TASK/losses and TASK/param/..; after fine-tuning also s/scores (images, CROPS) of held-out images.

    Raises:
        NotRecorded: the recording was made with other images.
    """
    iterations, files, jobs = {}, sample_training.image_files(images), []
    for task, preset in presets.items():
        files.update(sample_training.caffe_files(arch, preset))
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
    if isinstance(caffe, VerifiedLive):
        caffe = caffe.unverified(caffe.keep)  # the images depend on the JPEG encoders' version
    return caffe.ask(case, jobs, arrays, files)


class EarlyTrainings:
    """Caffe's trainings of Shallow, run in parallel in separate containers while tests run.

    Args:
        caffe: Live, whose image trains, or Recorded.
        images: folder of sample_training.make_images.
        cases: which of SHALLOW.
    """

    def __init__(self, caffe, images, cases):
        self.live, self.pool, self.futures = None, ThreadPoolExecutor(len(cases)), {}
        if isinstance(caffe, Live):  # with a separate client: the tests use theirs at the same time
            threads = {"OPENBLAS_NUM_THREADS": str(THREADS)}
            caffe = VerifiedLive(engine.answering(), keep=caffe.keep, image=caffe.image, environment=threads)
            self.live = caffe
        for case in cases:
            self.futures[case] = self.pool.submit(train_in_caffe, caffe, case, images, "shallow", shallow_presets(case))

    def answer(self, case):
        """Wait for train_in_caffe's Answer and return it; skip the test if it isn't recorded."""
        return _or_skip(self.futures[case].result)

    def end(self):
        """Stop trainings that still run."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        if self.live:
            self.live.stop()
            self.pool.shutdown()
            self.live.client.close()


def _or_skip(ask, *arguments):
    try:
        return ask(*arguments)
    except NotRecorded as error:
        pytest.skip(f"{error} (the images depend on the JPEG encoders' version)")


def with_dropout(caffe, images, case):
    """Run a few iterations of ranking with dropout in Caffe.

    Args:
        caffe: Live or Recorded; asked once per session.
        images: folder of sample_training.make_images.
        case: one of DROPOUT.

    Returns:
        (Caffe's Answer, {"rank": preset}); the test is skipped if the answer isn't recorded.
    """
    arch, iterations, stepsize = DROPOUT[case]
    rank = {"images": 1, "test_interval": 1000, "base_lr": 4e-6, "stepsize": stepsize}
    presets = sample_training.presets(arch, "live", iterations, rank=rank)
    del presets["ft"]
    if case not in _answers:
        _answers[case] = _or_skip(train_in_caffe, caffe, case, images, arch, presets)
    return _answers[case], presets


def train_in_port(
    images, arch, presets, out, seed=sample_training.SEED, quirks=FAITHFUL, changes=None, products=None,
    prepare=lambda trainer: None,
):  # fmt: skip
    """Train in the port.

    Args:
        images, arch, presets: as train_in_caffe.
        out: folder for its weights.
        seed: the seed of weights, minibatches, crops and masks.
        quirks: which quirks of the original's data layers to reproduce.
        changes: {setting: value} for every preset.
        products: CaffeBlas, or None for PyTorch's own.
        prepare: called with each trainer before it runs.

    Returns:
        {task: (losses (iterations,), model)}
    """
    trained, weights = {}, None
    for task, preset in presets.items():
        preset = preset.but(**changes or {})
        lists = {split: read_list(images / f"{task}_{split}.txt", images) for split in ("train", "test")}
        trainer = Trainer.from_preset(preset, arch, **lists, seed=seed, weights=weights, out=out, cache_mb=400,
                          quirks=quirks, products=products, log=lambda line: None)  # fmt: skip
        prepare(trainer)
        trainer.run()
        weights = out / f"{preset.name}_iter_{preset.solver.max_iter}.safetensors"
        trained[task] = (np.array(trainer.losses), trainer.model)
    return trained


def distances(caffes, ours):
    """Return {iteration: |loss - Caffe's| / max(Caffe's, 1)} for two arrays of losses."""
    apart = np.abs(np.asarray(ours, np.float64) - caffes) / np.maximum(caffes, 1)
    return dict(enumerate(apart.tolist(), start=1))


def held_out_scores(model, images):
    """Return (the port's scores (images, CROPS), the levels (images,)) for the crops that Caffe scored."""
    paths, levels, offsets = _held_out(images, model.crop)
    scores = [
        score_crops(model, rankiqa.read_image(images / path), at) for path, at in zip(paths, offsets, strict=True)
    ]
    return np.array(scores), levels
