"""Parity test `trajectory`: ranking, then fine-tuning, in both engines, which share only a seed."""

import numpy as np
import pytest

import rankiqa
import sample_training
from lib import trajectory
from lib.drift import in_words
from lib.tolerances import (
    LOSS_IN_TRAINING,
    SCORE_AFTER_TRAINING,
    SROCC_AFTER_TRAINING,
    TRAINED_LOSS,
    TRAINED_WEIGHTS,
)
from lib.trainings import DROPOUT, distances, held_out_scores, shallow_presets, train_in_port, with_dropout
from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.data.order import Quirks
from rankiqa.models.architectures import ARCHITECTURES
from rankiqa.models.network import fill


@pytest.mark.slow
@pytest.mark.parametrize("training", ["trajectory/shallow"])
def test_shallow(early_trainings, parity, images, tmp_path, training):
    presets = shallow_presets(training)
    trained = train_in_port(images, "shallow", presets, tmp_path)  # before the answer: Caffe may still train
    answer = early_trainings.answer(training)
    for task, (losses, model) in trained.items():
        apart = distances(*trajectory.both(answer, task, losses))
        for n in (100, 300):
            worst = max(distance for at, distance in apart.items() if at <= n)
            parity.check(
                "trajectory", f"shallow {task}: loss, iterations 1..{n}; {in_words(apart)}", worst, LOSS_IN_TRAINING
            )
        for layer, error in trajectory.layer_errors(answer, f"{task}/param", model).items():
            parity.check("trajectory", f"shallow {task}: {layer} at the end", error, SCORE_AFTER_TRAINING)
    model = trained["ft"][1].eval()
    ours, levels = held_out_scores(model, images)
    caffes = answer.array("s/scores")
    apart = np.abs(ours.mean(1) - caffes.mean(1)).max() / np.ptp(caffes.mean(1))
    parity.check("trajectory", "shallow: held-out scores, of their range", apart, SCORE_AFTER_TRAINING)
    srocc = [rankiqa.srocc(scores.mean(1), -levels) for scores in (ours, caffes)]
    parity.check(
        "trajectory", f"shallow: held-out SROCC, Caffe {srocc[1]:.3f}", abs(srocc[0] - srocc[1]), SROCC_AFTER_TRAINING
    )

    short = {"rank": presets["rank"].but(max_iter=10)}
    wrong = {
        "the next seed": {"seed": sample_training.SEED + 1},
        "crops to the last offset": {"quirks": Quirks(last_offset_never_drawn=False)},
        "no momentum": {"changes": {"momentum": 0.0}},
    }
    for name, options in wrong.items():
        other, _ = train_in_port(images, "shallow", short, tmp_path, **options)["rank"]
        apart = max(distances(*trajectory.both(answer, "rank", other)).values())
        parity.must_fail("trajectory", f"wrong: {name}", apart, LOSS_IN_TRAINING)


@pytest.mark.parametrize(
    "training",
    [
        "trajectory/alexnet_short",
        pytest.param("trajectory/alexnet", marks=pytest.mark.slow),
        pytest.param("trajectory/vgg16", marks=pytest.mark.slow),
    ],
)
def test_with_dropout(caffe, parity, images, tmp_path, training):
    """Dropout masks agree, too; the rate drops during training, and the port skips the TEST net's random words."""
    answer, presets = with_dropout(caffe, images, training)
    arch = DROPOUT[training][0]
    losses, model = train_in_port(images, arch, presets, tmp_path)["rank"]
    apart = distances(*trajectory.both(answer, "rank", losses))
    parity.check(
        "trajectory", f"{arch}: loss of {len(losses)} iterations; {in_words(apart)}", max(apart.values()), TRAINED_LOSS
    )
    # Compare lengths: single weights of VGG-16 differ by up to 2.6e-5 of the largest; with Caffe's products none
    # differ (test_same_blas.py)
    for layer, error in trajectory.layer_distances(answer, "rank/param", model).items():
        parity.check("trajectory", f"{arch}: {layer} at the end", error, TRAINED_WEIGHTS)

    def without_test_net(trainer):
        """Fill as if the TEST net drew nothing: the weights are equal, the masks are not."""
        random = CaffeRandom(sample_training.SEED)
        fill(ARCHITECTURES[arch], random)
        trainer.model.use_random(random)

    short = {"rank": presets["rank"].but(max_iter=2)}
    other, _ = train_in_port(images, arch, short, tmp_path, prepare=without_test_net)["rank"]
    wrong = max(distances(*trajectory.both(answer, "rank", other)).values())
    parity.must_fail("trajectory", f"wrong: {arch}, the TEST net's words not skipped", wrong, TRAINED_LOSS)
