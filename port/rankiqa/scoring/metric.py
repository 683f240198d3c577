"""The score as an nn.Module: RGB tensors in, one score per image out, with gradients.

Shapes: N images, H x W pixels.
"""

from __future__ import annotations

import copy
import os
from typing import Any

import torch
from torch import Tensor, nn

from rankiqa.data.input_spec import InputSpec
from rankiqa.data.views import View
from rankiqa.models.modes import full_float32
from rankiqa.models.score_sampling import sampling_of_network
from rankiqa.models.weights import load
from rankiqa.scoring.image_score import CHUNK, check_settings, views_of

RANGE_SLACK = 1e-6  # tolerance beyond 0..1, for rounding in the conversion to float


class Metric(nn.Module):
    """Scores of a batch of images: the mean of a network's output over random crops.

    An image's score does not depend on the other images of the batch: each image draws its crop positions from
    RandomState(seed), and a forward pass contains crops of one image only. For the pixels of an 8-bit image divided by
    255, the score equals `rankiqa.score` up to float rounding. Gradients reach the input.

    Args:
        model: A network from `rankiqa.load`. Its weights are frozen and it is put into eval mode.
        crops: Random crops per image; None: the network's own number, 30 unless its file says otherwise.
        seed: The seed of the crop positions.
        as_loss: Return the mean over the batch, negated if higher scores are better, so that it can be minimised.

    Attributes:
        lower_better: Whether a lower score means better quality; None if the weights file does not say. Always True
            with `as_loss`.
        score_range: The approximate range of the scores, (lowest, highest); None if they have no unit.

    Raises:
        ValueError: crops < 1, an invalid seed, or `as_loss` with a network whose direction is unknown.
    """

    def __init__(self, model: Any, *, crops: int | None = None, seed: int = 0, as_loss: bool = False):
        super().__init__()
        crops = sampling_of_network(model).crops if crops is None else crops
        check_settings(crops, seed)
        if as_loss and model.lower_is_better is None:
            raise ValueError("as_loss: expected weights that say whether lower is better, got a file that does not")
        self.model = model.requires_grad_(False).eval()
        self.crops, self.seed, self.as_loss = crops, seed, as_loss
        self.lower_better: bool | None = True if as_loss else model.lower_is_better
        self.score_range: tuple[float, float] | None = model.score_range

    def train(self, mode: bool = True) -> Metric:
        """Set the mode of the module, but keep the network in eval mode: a metric is not trained."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Score images.

        Args:
            images: (N, 3, H, W) floating point, RGB, 0..1, on the module's device, of a size that `rankiqa.score`
                accepts.

        Returns:
            Scores (N,) float32; with `as_loss` a scalar.

        Raises:
            ValueError: Another shape, dtype or device, an alpha channel, values outside 0..1, or weights that are not
                float32.
        """
        weights = next(self.model.parameters())
        check_images(images, weights.device)
        if weights.dtype != torch.float32:
            raise ValueError(
                f"metric: expected weights in float32, got {weights.dtype}: crop pixels need this precision"
            )
        height, width = images.shape[2:]
        spec: InputSpec = self.model.input_spec
        views = views_of(self.model, height, width, self.crops, self.seed)
        with full_float32(), torch.autocast(weights.device.type, enabled=False):
            scores = torch.stack([self._score(image.float(), views, spec) for image in images])
        if not self.as_loss:
            return scores
        return scores.mean() if self.model.lower_is_better else -scores.mean()

    def _score(self, image: Tensor, views: list[View], spec: InputSpec) -> Tensor:
        """Return the score of an image (3, H, W), a scalar."""
        parts, crop = [], spec.crop
        for view in views:
            seen = prepared(image if view.is_whole else view.of(image * 255) / 255, spec)
            offsets = view.offsets.tolist()
            for first in range(0, len(offsets), CHUNK):
                places = offsets[first : first + CHUNK]
                crops = torch.stack([seen[:, top : top + crop, left : left + crop] for top, left in places])
                parts.append(self.model(crops).squeeze(1))
        return torch.cat(parts).mean()

    def extra_repr(self) -> str:
        return f"crops={self.crops}, seed={self.seed}, as_loss={self.as_loss}, lower_better={self.lower_better}"


def metric(
    path: str | os.PathLike | nn.Module | None = None,
    *,
    crops: int | None = None,
    seed: int = 0,
    as_loss: bool = False,
    device: torch.device | str | None = None,
) -> Metric:
    """Return a module that scores batches of RGB images, (N, 3, H, W) in 0..1 -> (N,).

    Args:
        path: A weights file, a folder written by `save_pretrained`, or a network, which is copied so that its training
            can continue; None: the model in the package.
        crops: Random crops per image; None: the network's own number, 30 unless its file says otherwise.
        seed: The seed of the crop positions.
        as_loss: See `Metric`.
        device: The device of the module; None: the CPU, or the network's device.

    Raises:
        ValueError: As for `load` and `Metric`.
    """
    model = copy.deepcopy(path) if isinstance(path, nn.Module) else load(path)
    return Metric(model, crops=crops, seed=seed, as_loss=as_loss).to(device)


def check_images(images: Tensor, device: torch.device) -> None:
    """Raise ValueError unless `images` are RGB images that `Metric` accepts, on the given device."""
    if not isinstance(images, Tensor):
        raise ValueError(f"images: expected a tensor (N, 3, H, W), got {type(images).__name__}")
    if images.dim() == 4 and images.shape[1] == 4:
        raise ValueError(f"images: expected (N, 3, H, W), got {tuple(images.shape)}: drop or blend the alpha channel")
    if images.dim() != 4 or images.shape[1] != 3 or len(images) == 0:
        hint = ": add the batch axis, images[None]" if images.dim() == 3 else ""
        raise ValueError(f"images: expected (N, 3, H, W), N of 1 or more, RGB, got {tuple(images.shape)}{hint}")
    if not images.is_floating_point():
        raise ValueError(f"images: expected floating point in 0..1, got {images.dtype}: divide by 255")
    if images.device != device:
        raise ValueError(f"images: expected a tensor on the metric's device, {device}, got {images.device}")
    if images.numel() == 0:
        raise ValueError(f"images: expected pixels, got {tuple(images.shape)}")
    low, high = torch.stack(torch.aminmax(images.detach())).tolist()  # one synchronisation with a GPU, not two
    if not (low >= -RANGE_SLACK and high <= 1 + RANGE_SLACK):  # also false for nan
        hint = ": divide by 255" if high > 2 and low >= 0 else ""
        raise ValueError(f"images: expected values in 0..1, got {low:g}..{high:g}{hint}")


def prepared(image: Tensor, spec: InputSpec) -> Tensor:
    """Return the network's input, float32 (3, H, W), for an RGB image, float32 (3, H, W) in 0..1."""
    if spec.channel_order == "BGR":
        image = image.flip(0)  # CAFFE: BGR (cv2.imread in upstream's data layers)
    image = image * spec.value_range
    if spec.is_pixels:
        return image
    mean, std = (torch.tensor(values, device=image.device).view(3, 1, 1) for values in (spec.mean, spec.std))
    return (image - mean) / std
