"""EfficientNet-Lite0 in plain PyTorch: the network of the model that is part of the package.

Parameter names, outputs and the distributions of initial weights equal those of timm's efficientnet_lite0, so both can
use the same weights. Use timm's network to train with dropout or stochastic depth.

Shapes: N crops, C channels. Source: Tan and Le, EfficientNet, ICML 2019; the Lite variant has no squeeze-and-excite
and uses ReLU6.
"""

from __future__ import annotations

import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from rankiqa.data.input_spec import IMAGENET_MEAN, IMAGENET_STD, InputSpec
from rankiqa.models.backbones import Backbone

NAME = "efficientnet_lite0"
INPUT = InputSpec(224, "RGB", 1.0, IMAGENET_MEAN, IMAGENET_STD)
STEM, FEATURES = 32, 1280
# For each stage: number of blocks, kernel, stride of the first block, channel expansion, output channels
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # fmt: skip


def _conv(channels: int, out: int, kernel: int, stride: int = 1, group: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=group, bias=False)


class _Block(nn.Module):
    """Expansion (skipped if it is 1), depthwise convolution and projection, with a shortcut if the shapes match."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        wide = channels * expansion
        depthwise = _conv(wide, wide, kernel, stride, wide)
        if expansion == 1:
            convs = {"conv_dw": depthwise, "conv_pw": _conv(wide, out, 1)}
        else:
            convs = {"conv_pw": _conv(channels, wide, 1), "conv_dw": depthwise, "conv_pwl": _conv(wide, out, 1)}
        for number, (name, conv) in enumerate(convs.items(), start=1):
            self.add_module(name, conv)
            self.add_module(f"bn{number}", nn.BatchNorm2d(conv.out_channels))
        self.steps = [(name, f"bn{number}") for number, name in enumerate(convs, start=1)]
        self.adds = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        for conv, norm in self.steps:
            x = getattr(self, norm)(getattr(self, conv)(x))
            if conv != self.steps[-1][0]:
                x = F.relu6(x)
        return x + shortcut if self.adds else x


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 with one output: (N, 3, H, W) -> (N, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem, self.bn1 = _conv(3, STEM, 3, 2), nn.BatchNorm2d(STEM)
        stages, channels = [], STEM
        for blocks, kernel, stride, expansion, out in STAGES:
            stage = []
            for block in range(blocks):
                stage.append(_Block(channels, out, kernel, stride if block == 0 else 1, expansion))
                channels = out
            stages.append(nn.Sequential(*stage))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = _conv(channels, FEATURES, 1), nn.BatchNorm2d(FEATURES)
        self.classifier = nn.Linear(FEATURES, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        nn.init.uniform_(self.classifier.weight, -1.0, 1.0)  # the bound is 1 / sqrt(fan_out), and fan_out is 1
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores (N, 1) of normalised RGB crops (N, 3, H, W)."""
        x = F.relu6(self.bn1(self.conv_stem(x)))
        x = F.relu6(self.bn2(self.conv_head(self.blocks(x))))
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


def efficientnet_lite0(*, fc: Any = None, random: Any = None) -> Backbone:
    """Build a network with new weights from torch's random numbers. `fc` and `random` are ignored."""
    return Backbone(NAME, EfficientNetLite0(), INPUT, ["classifier"])
