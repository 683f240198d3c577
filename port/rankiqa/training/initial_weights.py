"""Initial weights for training, from a file or from a library's ImageNet weights."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from rankiqa.data.extras import need
from rankiqa.models import weights
from rankiqa.models.backbones import LIBRARIES, TORCHVISION, Backbone, copy_state, pretrained_state
from rankiqa.models.file_format import FORMAT
from rankiqa.models.imagenet_vgg import copy_torchvision
from rankiqa.models.network import Network
from rankiqa.models.scorer import Scorer
from rankiqa.models.state_files import misfit, read_state, under_names
from rankiqa.training.snapshots import copy_by_name

VGG = "vgg16"
OF_TORCH_SAVE = (".pth", ".pt", ".bin", ".ckpt", ".tar")
TORCHVISIONS_FIRST = "features.0.weight"  # the first weight of torchvision's VGG-16


def initialise(model: Scorer, source: str | Path) -> list[str]:
    """Copy weights into a network.

    Args:
        model: The network that gets the weights.
        source: One of these:
            a weights file or snapshot of this package, or a folder of `save_pretrained`: layers are copied by name;
            a state dict of the same network, alone or inside a checkpoint (.safetensors, or a torch.save file that
            contains no code): its output layer may differ;
            "torchvision" or "timm": the library's ImageNet weights, which it downloads if they are not in its cache.
            For vgg16, these are torchvision's VGG-16 with mean, deviation and channel order folded in.

    Returns:
        Notes for the user, one per line.

    Raises:
        ValueError: If the weights do not fit or are not available.
    """
    if source in LIBRARIES:
        return _from_library(model, str(source))
    path = weights.file_of(source)
    named = not isinstance(model, Backbone) and path.suffix not in OF_TORCH_SAVE and not _is_vgg(path)
    if named or arch_of(path) is not None:
        return _by_name(model, weights.read(path)[1], path)
    state = read_state(path)
    if isinstance(model, Backbone):
        return [f"{path}: {line}" for line in copy_state(model, state, str(path))]
    own = under_names(state, model.state_dict())
    if own.keys() & model.state_dict().keys():
        return _by_name(model, own, path)
    return _from_torchvisions_vgg(model, under_names(state, {TORCHVISIONS_FIRST}), str(path))


def _by_name(model: Scorer, state: dict[str, Tensor], path: Path) -> list[str]:
    fresh = copy_by_name(model, state, path)
    return [f"{path}: without {', '.join(fresh)}, whose initial weights are kept"] if fresh else []


def _from_library(model: Scorer, library: str) -> list[str]:
    if isinstance(model, Backbone) and model.arch.startswith(f"{library}:"):
        return [f"{library}: {line}" for line in copy_state(model, pretrained_state(model.arch), library)]
    if model.arch == VGG and library == TORCHVISION:
        return _from_torchvisions_vgg(model, pretrained_state(f"{TORCHVISION}:{VGG}"), library)
    raise ValueError(f"initial weights {library}: expected a network of {library} (or vgg16), got {model.arch}")


def _from_torchvisions_vgg(model: Scorer, state: dict[str, Tensor], where: str) -> list[str]:
    """Copy torchvision's VGG-16 into a network that takes BGR 0..255."""
    if not isinstance(model, Network) or model.arch != VGG or TORCHVISIONS_FIRST not in state:
        what = "torchvision's VGG-16" if TORCHVISIONS_FIRST in state else "a state dict of another network"
        raise ValueError(f"{where}: expected weights of {model.arch}, got {what}")
    vgg = need("torchvision.models", "timm", "initial weights of torchvision").vgg16(weights=None, init_weights=False)
    own, output = vgg.state_dict(), "classifier.6."
    wrong = [
        key for key in {**own, **state}
        if key not in own or (not key.startswith(output) and (key not in state or misfit(own[key], state[key])))
    ]  # fmt: skip
    if wrong:
        raise ValueError(f"{where}: expected torchvision's VGG-16, got another in {', '.join(sorted(wrong)[:10])}")
    vgg.load_state_dict({key: own[key] if key.startswith(output) else state[key] for key in own})
    fresh = copy_torchvision(model, vgg)
    return [f"{where}: without {', '.join(fresh)}, whose initial weights are kept"]


def arch_of(path: str | Path | None) -> str | None:
    """Return the network's name from a weights file or snapshot of this package; None for anything else."""
    if path is None or not os.path.isfile(weights.file_of(path)):  # opening a pipe would wait for its writer
        return None
    try:
        with safe_open(weights.file_of(path), framework="pt") as file:
            metadata = file.metadata() or {}
            return metadata.get("arch") if metadata.get("format") == FORMAT else None
    except (SafetensorError, OSError):
        return None


def _is_vgg(path: Path) -> bool:
    if not os.path.isfile(path):
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return TORCHVISIONS_FIRST in file.keys()  # noqa: SIM118
    except (SafetensorError, OSError):
        return False
