"""rankiqa.caffe refuses invalid numbers, sizes and shapes in one line."""

import pytest
import torch

import rankiqa
from rankiqa.caffe.layers import Dropout

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("shape", [(), (0,), (3, -1), (2.5,), 3, None, "ab"])
@pytest.mark.parametrize("filler", ["xavier", "gaussian", "uniform", "msra"])
def test_shapes(filler, shape):
    with pytest.raises(ValueError, match="shape: expected sizes of 1 or more"):
        getattr(rankiqa.CaffeRandom(1), filler)(shape)


@pytest.mark.parametrize(("low", "high"), [(0.0, INF), (-INF, 0.0), (-3e38, 3e38), (NAN, 1.0), (1.0, 0.0)])
def test_uniform_without_an_end(low, high):
    """With an infinite range, the search for a number below its end did not terminate."""
    with pytest.raises(ValueError, match="uniform: expected finite numbers"):
        rankiqa.CaffeRandom(1).uniform((2,), low, high)


def test_numbers_of_the_stream():
    stream = rankiqa.CaffeRandom(1)
    before = stream.state()
    for call, message in (
        (lambda: stream.gaussian((2,), INF), "std > 0, got std inf"),
        (lambda: stream.gaussian((2,), 1.0, NAN), "and mean nan"),
        (lambda: stream.dropout_mask((2,), "a"), "dropout ratio: expected 0..1, got 'a'"),
        (lambda: stream.dropout_mask((2,), NAN), "dropout ratio"),
        (lambda: stream.words(-1), "words: expected a whole number"),
        (lambda: stream.words(1.5), "words: expected a whole number"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert (stream.state() == before).all()


def test_numbers_of_the_layers():
    for call, message in (
        (lambda: rankiqa.layers.LRN(5, NAN, 0.75), "alpha: expected a finite number, got nan"),
        (lambda: rankiqa.layers.LRN(5, 1e-4, None), "beta: expected a finite number, got None"),
        (lambda: rankiqa.layers.LRN(5, 1e-4, 0.75, "1"), "k: expected a finite number, got '1'"),
        (lambda: rankiqa.layers.LRN(True, 1e-4, 0.75), "local_size: expected an odd"),
        (lambda: rankiqa.layers.MaxPool2d(True, 1), "kernel: expected a whole number"),
        (lambda: Dropout("0.5"), "dropout ratio: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": "a"}, "lr: expected a number of 0 or more, got 'a'"),
        ({"lr": None}, "lr: expected a number"),
        ({"lr": True}, "lr: expected a number"),
        ({"clip_gradients": "a"}, "clip_gradients: expected None"),
        ({"lr_mult": NAN}, "group 0: lr_mult: expected a number of 0 or more, got nan"),
        ({"decay_mult": "a"}, "group 0: decay_mult: expected a number"),
        ({"group_lr": -3.0}, "group 0: lr: expected a number of 0 or more, got -3.0"),
    ],
)
def test_numbers_of_the_solver(options, message):
    group = {"params": [torch.nn.Parameter(torch.zeros(2))]}
    for name in ("lr_mult", "decay_mult", "group_lr"):
        if name in options:
            group[name.removeprefix("group_")] = options.pop(name)
    with pytest.raises(ValueError, match=message):
        rankiqa.CaffeSGD([group], **{"lr": 0.1, **options})
