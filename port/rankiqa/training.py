"""The training loop, as Caffe's solver walks it: display, test phase, snapshots, resuming.

From one seed the loop draws what Caffe draws, in its order: the train net's fillers, the TEST net's, then dropout masks
from one stream; minibatches and crops from streams of their own (`rankiqa.data`).

Source: Caffe 1.0 solver.cpp (behaviour, not code); upstream src/{RankIQA,FT}.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rankiqa import snapshots
from rankiqa.architectures import ARCHITECTURES, known_nets
from rankiqa.caffe_blas import CaffeBlas
from rankiqa.caffe_random import CaffeRandom
from rankiqa.data import FAITHFUL, SANE, ImageList, Quirks, minibatches
from rankiqa.losses import euclidean_loss, pair_ranking_loss
from rankiqa.metrics import lcc, srocc
from rankiqa.networks import Network, build
from rankiqa.presets import Preset
from rankiqa.solver import CaffeSGD, LearningRate, SmoothedLoss


def parameter_groups(model: Network, ten_times: str) -> list[dict]:
    """The model's parameters as groups with upstream's lr_mult and decay_mult.

    A weight has 1/1, a bias 2/0; tenfold in the output layer, or (ten_times "all") in every fully-connected one.
    """
    new = model.fc if ten_times == "all" else model.fc[-1:]
    groups: dict[tuple, list] = {}
    for name, parameter in model.named_parameters():
        layer, part = name.rsplit(".", 1)
        factor = 10.0 if layer in new else 1.0
        key = (factor, 1.0) if part == "weight" else (2 * factor, 0.0)
        groups.setdefault(key, []).append(parameter)
    return [{"params": found, "lr_mult": lr, "decay_mult": decay} for (lr, decay), found in groups.items()]


def _or_nan(measure: Callable, scores: np.ndarray, labels: np.ndarray) -> float:
    try:
        return measure(scores, labels)
    except ValueError:  # CAFFE: scipy's nan for scores that are all equal; the training goes on (upstream's layers_ft)
        return float("nan")


class Trainer:
    """A training of one preset.

    preset: rankiqa.PRESETS["live-rank"], or `.but(max_iter=..)` of one. arch: vgg16, alexnet, shallow.
    train, test: lists (`rankiqa.data.read_list`); without test there is no test phase, and no TEST net draws weights.
    seed: Caffe's random_seed and the data layers' seed. weights: a file whose layers are copied by name.
    out: folder of the snapshots, named by the preset; None: none are written.
    faithful: the original's quirks in the data, all or none; quirks: each alone. workers, cache_mb: see `minibatches`.
    products: a `caffe_blas.CaffeBlas`: matrix products summed as Caffe sums them (CPU only); None: PyTorch's own.
    say: takes each line of the log. Raises ValueError for what does not fit together.

    Attributes: model, optimizer, losses (of the last `run`, one an iteration).
    """

    def __init__(
        self,
        preset: Preset,
        arch: str = "vgg16",
        *,
        train: ImageList,
        test: ImageList | None = None,
        seed: int,
        weights: str | Path | None = None,
        out: str | Path | None = None,
        faithful: bool = True,
        quirks: Quirks | None = None,
        workers: int = 0,
        cache_mb: int = 0,
        device: str | torch.device = "cpu",
        products: CaffeBlas | None = None,
        say: Callable[[str], object] = print,
    ):
        architecture = ARCHITECTURES[arch]
        self.preset, self.seed, self.say = preset, seed, say
        self.out = None if out is None else Path(out)
        self.lists = {"train": train, "test": test}
        self.quirks = quirks or (FAITHFUL if faithful else SANE)
        self.device, self._data = torch.device(device), {"workers": workers, "cache_mb": cache_mb}
        self.random = CaffeRandom(seed)
        self.model = build(arch, fc=known_nets(architecture)[preset.net], random=self.random)
        if test is not None:
            self.random.skip_fill(architecture)  # CAFFE: the TEST net is filled too, from the same stream (solver.cpp)
        if weights is not None and (anew := snapshots.copy_weights(self.model, weights)):
            say(f"{weights}: without {', '.join(anew)}, which start anew")
        self.model.to(self.device)
        if products is not None:
            if self.device.type != "cpu":
                raise ValueError(f"Caffe's products: expected device cpu, got {self.device}")
            products.use(self.model)
        schedule = LearningRate("step", gamma=preset.gamma, stepsize=preset.stepsize)
        self.optimizer = CaffeSGD(
            parameter_groups(self.model, preset.ten_times),
            preset.base_lr,
            preset.momentum,
            preset.weight_decay,
            schedule=schedule,
            iter_size=preset.iter_size,
            clip_gradients=preset.clip_gradients,
        )
        self._seen = {"train": 0, "test": 0}  # minibatches taken
        self._feeds: dict[str, Iterator] = {}
        self.smoothed = SmoothedLoss(preset.average_loss)
        self.losses: list[float] = []
        self._output = np.float32(0)  # the loss of the last forward pass
        self.stop_requested = False  # set it (from a signal handler) to end after this iteration, with a snapshot

    @property
    def iteration(self) -> int:
        """How often the weights have been updated."""
        return self.optimizer.iteration

    def _next(self, phase: str) -> tuple[Tensor, Tensor]:
        if phase not in self._feeds:
            loader = minibatches(
                self.lists[phase],
                self.preset,
                crop=self.model.crop,
                seed=self.seed,
                quirks=self.quirks,
                start=self._seen[phase],
                **self._data,
            )
            self._feeds[phase] = iter(loader)
        self._seen[phase] += 1
        crops, labels = next(self._feeds[phase])
        return crops.to(self.device), labels.to(self.device)

    def _loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        p = self.preset
        if p.task == "ft":
            return euclidean_loss(scores, labels)
        return pair_ranking_loss(scores, distortions=p.groups, levels=p.levels, images=p.images, margin=p.margin)

    def forward_backward(self) -> np.float32:
        """One iteration's gradients, summed over iter_size minibatches; returns the loss (their mean)."""
        self.model.train()
        self.optimizer.zero_grad()
        total = np.float32(0)
        for _ in range(self.preset.iter_size):
            crops, labels = self._next("train")
            loss = self._loss(self.model(crops).squeeze(1), labels)
            loss.backward()
            self._output = np.float32(loss.item())
            total += self._output
        return np.float32(total / np.float32(self.preset.iter_size))

    @torch.no_grad()
    def test(self) -> dict[str, float]:
        """The test phase: means over test_iter minibatches, {"loss"} of ranking, {"pearsonr", "spearmanr"} of FT."""
        self.say(f"Iteration {self.iteration}, Testing net (#0)")
        self.model.eval()
        sums: dict[str, np.float32] = {}
        for _ in range(self.preset.test_iter):
            crops, labels = self._next("test")
            scores = self.model(crops).squeeze(1)
            if self.preset.task == "rank":
                found = {"loss": self._loss(scores, labels).item()}
            else:
                scores, labels = scores.cpu().numpy(), labels.cpu().numpy()
                # CAFFE: a net's outputs are told in the order of their names (net.cpp)
                found = {"pearsonr": _or_nan(lcc, scores, labels), "spearmanr": _or_nan(srocc, scores, labels)}
            for name, value in found.items():
                sums[name] = sums.get(name, np.float32(0)) + np.float32(value)
        means = {name: float(value / np.float32(self.preset.test_iter)) for name, value in sums.items()}
        for k, (name, value) in enumerate(means.items()):
            weighted = f" (* 1 = {value:.6g} loss)" if name == "loss" else ""
            self.say(f"    Test net output #{k}: {name} = {value:.6g}{weighted}")
        return means

    def run(self, stop: int | None = None) -> Network:
        """Train until max_iter (or `stop`, in iterations), with the log and the snapshots of Caffe; returns the model.

        After max_iter: a snapshot, a last forward pass and test where Caffe makes them.
        """
        p, name = self.preset, "loss" if self.preset.task == "rank" else "loss2"
        end, self.losses = p.max_iter if stop is None else min(stop, p.max_iter), []
        since, shown = time.perf_counter(), self.iteration
        while self.iteration < end and not self.stop_requested:
            n = self.iteration
            if self._testing(n):
                self.test()
            loss = self.forward_backward()
            if not np.isfinite(loss):
                raise FloatingPointError(f"iteration {n}: expected a finite loss, got {loss}: base_lr too high?")
            self.losses.append(float(loss))
            mean = self.smoothed.add(loss)
            if p.display and n % p.display == 0:
                lapse = time.perf_counter() - since
                speed = f"{(n - shown) / lapse:.6g} iter/s, {lapse:.6g}s/{p.display} iters"
                self.say(f"Iteration {n} ({speed}), loss = {mean:.6g}")
                # CAFFE: with iter_size, the output is the last pass's, the loss the mean (solver.cpp)
                self.say(f"    Train net output #0: {name} = {self._output:.6g} (* 1 = {self._output:.6g} loss)")
                self.say(f"Iteration {n}, lr = {self.optimizer.rate():.6g}")
                since, shown = time.perf_counter(), n
            self.optimizer.step()
            if p.snapshot and self.iteration % p.snapshot == 0:
                self.snapshot()
        if self.stop_requested or (end == p.max_iter and not (p.snapshot and self.iteration % p.snapshot == 0)):
            self.snapshot()
        if not self.stop_requested and end == p.max_iter:
            self._last_pass()
        return self.model

    def _testing(self, n: int) -> bool:
        p = self.preset
        return self.lists["test"] is not None and p.test_interval > 0 and n % p.test_interval == 0

    @torch.no_grad()
    def _last_pass(self) -> None:
        p, n = self.preset, self.iteration
        if p.display and n % p.display == 0:
            self.model.train()
            crops, labels = self._next("train")
            mean = self.smoothed.add(np.float32(self._loss(self.model(crops).squeeze(1), labels).item()))
            self.say(f"Iteration {n}, loss = {mean:.6g}")
        if self._testing(n):
            self.test()

    def _origin(self) -> dict:
        """What a run that goes on must have in common with the one that made the snapshot."""
        p = self.preset
        lists = {phase: found and found.sha256 for phase, found in self.lists.items()}
        made = {"task": p.task, "size": p.size, "groups": p.groups, "levels": p.levels, "sort": p.sort_by_label}
        return {"seed": self.seed, "lists": lists, "minibatch": made, "quirks": asdict(self.quirks)}

    def snapshot(self) -> Path | None:
        """Write OUT/PRESET_iter_N.safetensors; returns its path, or None without `out`."""
        if self.out is None:
            return None
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / f"{self.preset.name}_iter_{self.iteration}.safetensors"
        training = {
            "iteration": self.iteration,
            "current_step": self.optimizer.current_step,
            "origin": self._origin(),
            "seen": self._seen,
            "losses": [float(loss) for loss in self.smoothed.losses],
            "smoothed": [float(self.smoothed.mean), self.smoothed.at],
        }
        parameters = dict(self.model.named_parameters())
        history = {name: self.optimizer.history(p) for name, p in parameters.items()}
        random = torch.from_numpy(self.random.state().astype(np.int64))
        snapshots.save(path, self.model.arch, self.model.fc, parameters, history, training, random)
        self.say(f"Snapshot {path}")
        return path

    @torch.no_grad()
    def restore(self, path: str | Path) -> None:
        """Go on from a snapshot, as if the run had never stopped: the same minibatches, masks and weights, bit for bit.

        A snapshot that convert.py made from Caffe's .solverstate has weights, momentum and iteration; minibatches and
        masks then start anew from the seed, as in Caffe, which saves neither.
        Raises ValueError for a snapshot of another network, seed, list or minibatch.
        """
        metadata, training, tensors = snapshots.read(path)
        expected, got = (self.model.arch, list(self.model.fc)), (metadata["arch"], json.loads(metadata["fc"]))
        if expected != got:
            raise ValueError(f"{path}: expected a snapshot of {expected}, got one of {got}")
        origin, own = training.get("origin"), json.loads(json.dumps(self._origin()))
        if origin is not None and origin != own:
            apart = "; ".join(f"{k}: expected {own[k]}, got {origin[k]}" for k in own if own[k] != origin[k])
            raise ValueError(f"{path}: a run can go on only as it began; {apart}")
        for name, parameter in self.model.named_parameters():
            parameter.copy_(tensors[name])
            self.optimizer.history(parameter).copy_(tensors[snapshots.HISTORY + name])
        self.optimizer.set_iteration(training["iteration"], training["current_step"])
        self._feeds.clear()
        if origin is None:
            return
        self.random.set_state(tensors[snapshots.RANDOM].numpy().astype(np.uint32))
        self._seen = dict(training["seen"])
        self.smoothed.losses = [np.float32(loss) for loss in training["losses"]]
        mean, self.smoothed.at = training["smoothed"]
        self.smoothed.mean = np.float32(mean)
