"""Measure the ranking loss with its gradient: its share of an iteration, and how time and memory grow with the scores.

The plain double loop of upstream's layer is timed with the smallest size.
"""

import sys
import time
import weakref
from statistics import median

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import rankiqa

SIZES = (1, 10, 100, 1000)  # images per level: 45, 450, 4,500 and 45,000 scores of tid2013's 9 groups of 5 levels
REPEATS = 20


def _once(scores, images):
    """Compute the loss and its gradient."""
    scores.grad = None
    rankiqa.pair_ranking_loss(scores, distortions=9, levels=5, images=images).backward()


def _seconds(work, repeats):
    """Return the mean time of work()."""
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats


class _Held(TorchDispatchMode):
    """Count the bytes of all living tensors that operations have returned; `peak` is the maximum."""

    def __init__(self):
        super().__init__()
        self.users, self.now, self.peak = {}, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if torch.is_tensor(tensor):
                self._hold(tensor)
        return result

    def _hold(self, tensor):
        """Count a tensor's storage until the tensor is deleted."""
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place not in self.users:
            self.now += size
            self.peak = max(self.peak, self.now)
        self.users[place] = self.users.get(place, 0) + 1  # views share a storage
        weakref.finalize(tensor, self._release, place, size)

    def _release(self, place, size):
        """Uncount a storage when its last tensor is deleted."""
        self.users[place] -= 1
        if not self.users[place]:
            del self.users[place]
            self.now -= size


def _held(scores, images):
    """Return the peak memory in bytes of the loss and its gradient."""
    with _Held() as held:
        _once(scores, images)
    return held.peak


def _double_loop(scores):
    """Compute the loss and its gradient like upstream, in plain Python."""
    gradient = [0.0] * 45
    total = 0.0
    for group in range(9):
        for i in range(5):
            for j in range(i + 1, 5):
                a, b = 5 * group + i, 5 * group + j
                loss = max(0.0, 10.0 - (scores[a] - scores[b]))
                total += loss
                if loss > 0:
                    gradient[a] -= 1 / 45
                    gradient[b] += 1 / 45
    return total / 45, gradient


def measure(rounds):
    """Return ({ratio: value}, {median: value})."""
    torch.manual_seed(0)
    times = {n: [] for n in SIZES}
    iteration, loop, memory = [], [], {}
    model = rankiqa.build("vgg16")
    crops = torch.rand(4, 3, model.crop, model.crop) * 255  # the time is scaled up to the 45 of an iteration
    scores = {n: (torch.randn(45 * n) * 10).requires_grad_() for n in SIZES}
    for n in SIZES:
        _once(scores[n], n)
        memory[n] = _held(scores[n], n)
    for i in range(rounds):
        print(f"bench: round {i + 1} of {rounds}", file=sys.stderr)
        for n in SIZES:
            times[n].append(_seconds(lambda n=n: _once(scores[n], n), REPEATS))
        loop.append(_seconds(lambda: _double_loop(scores[1].tolist()), REPEATS))
        iteration.append(_seconds(lambda: model(crops).sum().backward(), 1) * 45 / len(crops))
    ratios = {"share_of_a_vgg16_iteration": median(t / whole for t, whole in zip(times[1], iteration, strict=True))}
    ratios["port_over_double_loop_time"] = median(t / seconds for t, seconds in zip(times[1], loop, strict=True))
    for small, large in zip(SIZES, SIZES[1:]):
        ratios[f"time_{45 * large}_over_{45 * small}"] = median(times[large]) / median(times[small])
        ratios[f"memory_{45 * large}_over_{45 * small}"] = memory[large] / memory[small]
    medians = {f"{45 * n}_scores_s": median(times[n]) for n in SIZES} | {"vgg16_iteration_s": median(iteration)}
    return ratios, medians | {f"{45 * n}_scores_bytes": memory[n] for n in SIZES}
