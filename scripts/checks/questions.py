"""Questions that Caffe and the port both answer, as an `Answer`: layers and gradients of a network, and a training.

The trainings have no dropout, because Caffe draws its masks on a GPU with cuRAND, but on the CPU from its own stream.
"""

import contextlib
import io
import time
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

import rankiqa
import sample_training
from caffe_client import Answer, Array
from rankiqa.caffe.layers import Dropout
from rankiqa.data.image_lists import read_list
from rankiqa.models.modes import full_float32
from rankiqa.training.presets import PRESETS
from rankiqa.training.recipe import FP32, Recipe
from rankiqa.training.trainer import Trainer
from sample_networks import converted, deploy_text, photograph_crops, random_caffemodel, with_batch

CROPS = {"shallow": (8, 227, "fc1_m"), "vgg16": (4, 224, "fc8_m")}  # number of crops, their size, the output layer
LOSS = """input: "label" input_shape {{ dim: {number} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "{output}" bottom: "label" top: "loss" }}
"""
NOT_LAYERS = {"net/top/input/0", "net/top/input/1", "net/top/loss/0"}
FEW = 2  # number of crops if the CPU computes everything


def blob_key(name):
    """Return Caffe's name of the port's parameter: "conv1.bias" -> "conv1/1"."""
    layer, part = name.rsplit(".", 1)
    return f"{layer}/{('weight', 'bias').index(part)}"


def as_array(tensor):
    """Return a tensor on any device as an Array."""
    return Array.whole(tensor.detach().float().cpu().numpy())


class LayersQuestion:
    """All layers of a network for crops of photographs, and the gradients of the Euclidean loss for arbitrary labels.

    Args:
        arch: "shallow" or "vgg16".
        folder: The folder for its weights.
        few: Use only FEW crops.
    """

    def __init__(self, arch, folder, few=False):
        self.arch = arch
        self.number, self.side, self.output = CROPS[arch]
        self.number = FEW if few else self.number
        self.path = random_caffemodel(Path(folder, f"{arch}.caffemodel"), arch)
        self.crops = photograph_crops(self.number, self.side)
        self.labels = np.linspace(0, 100, self.number, dtype=np.float32)

    def caffe(self, live):
        """Return Caffe's answer."""
        job = {"name": "net", "kind": "forward", "net": "net.prototxt", "weights": "w.caffemodel"}
        job.update(inputs={"data": "data", "label": "label"}, backward=True)
        job["return"] = ["tops", "param_diffs"]
        # without a loss Caffe computes no gradients, even if the output's gradient is set
        text = with_batch(deploy_text(self.arch), self.number) + LOSS.format(number=self.number, output=self.output)
        files = {"net.prototxt": text, "w.caffemodel": self.path}
        answer = live.ask(f"gpu_check/{self.arch}", [job], {"data": self.crops, "label": self.labels}, files)
        return Answer((key, array) for key, array in answer.items() if key not in NOT_LAYERS)

    @cached_property
    def model(self):
        """The port's network, on the CPU."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return converted(self.path)  # prints notes about weights without a net

    def port(self, device):
        """Return the port's answer on a device, in full float32."""
        model, crops = self.model.to(device).eval(), torch.from_numpy(self.crops).to(device)
        labels = torch.from_numpy(self.labels).to(device)
        with full_float32():
            with torch.inference_mode():
                blobs = model.forward_layers(crops)
            model.zero_grad(set_to_none=True)
            rankiqa.euclidean_loss(model(crops), labels[:, None]).backward()
        answer = Answer((f"net/top/{name}/0", as_array(blob)) for name, blob in blobs.items())
        for name, parameter in model.named_parameters():
            answer[f"net/param_diff/{blob_key(name)}"] = as_array(parameter.grad)
        model.zero_grad(set_to_none=True)
        return answer


class TrainingQuestion:
    """Iterations of Rank live without dropout: losses, the last update of each parameter, seconds per iteration.

    Args:
        arch: "shallow" or "vgg16".
        images: The folder of sample_training.make_images.
        steps: The number of iterations.
    """

    def __init__(self, arch, images, steps):
        self.arch, self.images, self.steps = arch, Path(images), steps
        self.preset = PRESETS["live-rank"].but(
            max_iter=steps, test_interval=steps + 1, test_iter=1, display=0, snapshot=0, clip_gradients=10.0
        )

    def caffe(self, live, updates=True):
        """Return Caffe's answer; `updates` includes the last update of each parameter."""
        files = sample_training.image_files(self.images)
        files |= sample_training.caffe_files(self.arch, self.preset, seed=0)
        net = files["rank_net.prototxt"]
        files["rank_net.prototxt"] = net.replace("dropout_ratio: 0.5", "dropout_ratio: 0")
        job = {"name": "t", "kind": "solve", "solver": "rank_solver.prototxt", "steps": self.steps}
        job["return"] = ["cost", *(["param_diffs"] if updates else [])]
        return live.ask(f"gpu_check/{self.arch}_training", [job], {}, files)

    def port(self, device, precision=FP32):
        """Return the port's answer on a device."""
        lists = {split: read_list(self.images / f"rank_{split}.txt", self.images) for split in ("train", "test")}
        trainer = Trainer.from_preset(
            self.preset, self.arch, **lists, seed=0, cache_mb=400, device=device, recipe=Recipe(precision=precision),
            log=lambda line: None,
        )  # fmt: skip
        model = trainer.model
        for name, module in list(model.named_children()):
            if isinstance(module, Dropout):
                setattr(model, name, nn.Identity())
        losses, seconds = [], []
        for _ in range(self.steps):
            start = time.perf_counter()
            losses.append(trainer.forward_backward())
            trainer.optimizer.step()
            if trainer.device.type == "cuda":
                torch.cuda.synchronize(trainer.device)
            seconds.append(time.perf_counter() - start)
        answer = Answer({"t/losses": Array.whole(np.array(losses, np.float32))})
        answer["t/seconds"] = Array.whole(np.array(seconds))
        for name, parameter in model.named_parameters():
            answer[f"t/param_diff/{blob_key(name)}"] = as_array(trainer.optimizer.history(parameter))
        return answer
