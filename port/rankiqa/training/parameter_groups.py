"""Parameter groups with different learning rates, as in upstream's prototxts, and different weight decay."""

from __future__ import annotations

from torch import nn

from rankiqa.models.scorer import Scorer
from rankiqa.training.presets import ALL


def parameter_groups(model: Scorer, ten_times: str) -> list[dict]:
    """Return the model's parameters in groups with upstream's lr_mult and decay_mult.

    Weights have lr_mult 1 and decay_mult 1, biases 2 and 0. lr_mult is ten times as large in the output layer or, if
    `ten_times` is "all", in every fully-connected layer.
    """
    faster = model.fc if ten_times == ALL else model.outputs
    groups: dict[tuple[float, float], list] = {}
    for name, parameter in model.named_parameters():
        layer, part = name.rsplit(".", 1)
        factor = 10.0 if layer in faster else 1.0
        key = (factor, 1.0) if part == "weight" else (2 * factor, 0.0)
        groups.setdefault(key, []).append(parameter)
    return [{"params": members, "lr_mult": lr, "decay_mult": decay} for (lr, decay), members in groups.items()]


def decayed_apart(model: nn.Module, weight_decay: float) -> list[dict]:
    """Return the trained parameters in two groups: those with two or more dimensions decay, biases and scales do not.

    Source: the usual practice with AdamW, as in timm.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.dim() > 1]
    others = [parameter for parameter in trained if parameter.dim() <= 1]
    groups = ({"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]
