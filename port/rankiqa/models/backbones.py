"""Any classification network of timm or torchvision, with one output: `timm:resnet18`, `torchvision:convnext_tiny`.

Such a network takes what its library says (RGB, mean and deviation, crop); its weights file names it, so that loading
needs neither the network nor the original weights. Source: none of the original's; for new experiments.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from rankiqa.data.extras import need
from rankiqa.data.input_spec import InputSpec
from rankiqa.models.score_meaning import ScoreMeaning
from rankiqa.models.scorer import Scorer

TIMM, TORCHVISION = "timm", "torchvision"
LIBRARIES = (TIMM, TORCHVISION)


class Backbone(Scorer):
    """A network of a library whose last layer has one output.

    Args:
        arch: LIBRARY:NAME.
        net: The library's module, (N, 3, H, W) -> (N, 1).
        input_spec: The crops that it takes.
        head: Name of its output layer inside `net`.
        meaning: What the score means.
    """

    def __init__(
        self, arch: str, net: nn.Module, input_spec: InputSpec, head: str, meaning: ScoreMeaning | None = None
    ):
        super().__init__()
        self.arch, self.net, self.input_spec = arch, net, input_spec
        self.head = f"net.{head}"
        self.fc = (self.head,)
        self.meaning = meaning or ScoreMeaning()

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N, 1) of crops (N, 3, crop, crop)."""
        return self.net(x)


def is_backbone(arch: str) -> bool:
    """Whether a name is LIBRARY:NAME of one of the libraries."""
    return arch.partition(":")[0] in LIBRARIES and ":" in arch


def build_backbone(arch: str, *, pretrained: bool | str | Path = False, **dropped: float) -> Backbone:
    """A network of a library with one output, on the CPU.

    Args:
        arch: LIBRARY:NAME, such as "timm:efficientnet_lite0" or "torchvision:resnet18".
        pretrained: True: the library's own ImageNet weights, which it downloads; a path: a state dict of the same
            network, .safetensors or .pth, whose output layer may be another; False: fresh weights.
        dropped: timm's drop_rate and drop_path_rate, for training.

    Raises:
        ValueError: For an unknown network, a missing package, weights that do not fit or cannot be had.
    """
    library, _, name = arch.partition(":")
    if library == TIMM:
        net, spec, head = _timm(name, pretrained is True, **dropped)
    elif library == TORCHVISION:
        net, spec, head = _torchvision(name, pretrained is True)
    else:
        raise ValueError(f"arch: expected timm:NAME or torchvision:NAME, got {arch!r}")
    model = Backbone(arch, net, spec, head)
    if not isinstance(pretrained, bool):
        copy_state(model, read_state(Path(pretrained)), str(pretrained))
    return model


def _timm(name: str, pretrained: bool, **dropped: float) -> tuple[nn.Module, InputSpec, str]:
    timm = need("timm", "timm", f"arch timm:{name}")
    if not timm.is_model(name):
        close = ", ".join(timm.list_models(f"*{name}*")[:5]) or "see timm.list_models()"
        raise ValueError(f"arch: expected a network of timm, got {name!r} ({close})")
    try:
        net = timm.create_model(name, pretrained=pretrained, num_classes=1, **dropped)
    except Exception as error:  # timm's and the hub's own kinds, many
        raise ValueError(f"arch timm:{name}: {' '.join(str(error).split())[:300]}") from None
    config = need("timm.data", "timm", f"arch timm:{name}").resolve_model_data_config(net)
    spec = InputSpec(config["input_size"][-1], "RGB", 1.0, tuple(config["mean"]), tuple(config["std"]))
    return net, spec, _one_output(net, net.get_classifier(), name)


def _one_output(net: nn.Module, head: nn.Module, name: str) -> str:
    for key, module in net.named_modules():
        if module is head and isinstance(module, nn.Linear) and module.out_features == 1:
            return key
    raise ValueError(f"arch timm:{name}: expected a network that ends in one linear layer, got {type(head).__name__}")


def _torchvision(name: str, pretrained: bool) -> tuple[nn.Module, InputSpec, str]:
    models = need("torchvision.models", "timm", f"arch torchvision:{name}")
    known = models.list_models(module=models)
    if name not in known:
        close = ", ".join(other for other in known if name in other or other in name) or ", ".join(known[:5]) + ", .."
        raise ValueError(f"arch: expected a classification network of torchvision, got {name!r} ({close})")
    weights = models.get_model_weights(name).DEFAULT
    try:
        # Inception's and GoogLeNet's auxiliary outputs would change what the network returns while it trains
        options = {"aux_logits": False} if name in ("googlenet", "inception_v3") and not pretrained else {}
        net = models.get_model(name, weights=weights if pretrained else None, **options)
    except Exception as error:  # torchvision's and the network's own kinds
        raise ValueError(f"arch torchvision:{name}: {' '.join(str(error).split())[:300]}") from None
    head = [key for key, module in net.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))][-1]
    parent, _, last = head.rpartition(".")
    layer = net.get_submodule(head)
    if isinstance(layer, nn.Linear):
        fresh: nn.Module = nn.Linear(layer.in_features, 1)
    else:  # SqueezeNet ends in a convolution
        fresh = nn.Conv2d(layer.in_channels, 1, layer.kernel_size, layer.stride)
    setattr(net.get_submodule(parent) if parent else net, last, fresh)
    transforms = weights.transforms()
    spec = InputSpec(transforms.crop_size[0], "RGB", 1.0, tuple(transforms.mean), tuple(transforms.std))
    return net, spec, head


def pretrained_state(arch: str) -> dict[str, Tensor]:
    """The state dict that a library has for ImageNet: from its cache, or downloaded.

    Args:
        arch: LIBRARY:NAME.

    Raises:
        ValueError: For an unknown network, a missing package, or weights that cannot be had.
    """
    library, _, name = arch.partition(":")
    if library == TIMM:
        timm = need("timm", "timm", f"arch {arch}")
        config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
        if config is None or not config.has_weights:
            raise ValueError(f"arch {arch}: expected a network of timm with weights for ImageNet, got one without")
        make = partial(timm.create_model, name, pretrained=True)
    else:
        models = need("torchvision.models", "timm", f"arch {arch}")
        make = partial(models.get_model, name, weights="DEFAULT")
    try:
        return make().state_dict()
    except Exception as error:  # timm's, torchvision's and the network's own kinds
        raise ValueError(
            f"arch {arch}: expected weights in the library's cache or a download of them, "
            f"got: {' '.join(str(error).split())[:300]}"
        ) from None


def copy_state(model: Backbone, state: dict[str, Tensor], where: str) -> list[str]:
    """Copy a state dict of the same network into a backbone; its output layer may have another number of outputs.

    Names may be another implementation's where every tensor has its counterpart in the same order: the same kind
    (weight, running_mean ..) and shape.

    Args:
        model: Takes the weights.
        state: Of the library's network.
        where: Its file, for messages.

    Returns:
        What is to be said of it: names that were not the library's, an output layer that was left out.

    Raises:
        ValueError: That names what is missing, unexpected or of another shape.
    """
    own, said = model.net.state_dict(), []
    head = model.head.removeprefix("net.") + "."
    if not own.keys() & state.keys() and (renamed := _by_order(state, own, head)):
        state = renamed
        said.append("its names are another implementation's; taken in order, each of the same kind and shape")
    wrong = [f"missing {key}" for key in own if key not in state and not key.startswith(head)]
    wrong += [f"unexpected {key}" for key in state if key not in own and not key.startswith(head)]
    for key in own.keys() & state.keys():
        if own[key].shape != state[key].shape and not key.startswith(head):
            wrong.append(f"{key}: expected {tuple(own[key].shape)}, got {tuple(state[key].shape)}")
        elif not torch.isfinite(state[key]).all():
            wrong.append(f"{key}: expected finite values, got nan or inf")
    if wrong:
        more = f"; and {len(wrong) - 10} more" if len(wrong) > 10 else ""
        raise ValueError(f"{where}: expected weights of {model.arch}, got: {'; '.join(sorted(wrong)[:10])}{more}")
    fits = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    model.net.load_state_dict({**own, **fits})
    if not any(key.startswith(head) for key in fits):
        said.append(f"without {model.head}, which starts anew")
    return said


def _by_order(state: dict[str, Tensor], own: dict[str, Tensor], head: str) -> dict[str, Tensor] | None:
    """A state dict under a network's own names, paired in order; None where the two differ in more than names."""
    if len(state) != len(own):
        return None
    for (theirs, value), (ours, expected) in zip(state.items(), own.items(), strict=True):
        same = value.shape == expected.shape or ours.startswith(head)
        if not same or theirs.rpartition(".")[2] != ours.rpartition(".")[2]:
            return None
    return dict(zip(own, state.values(), strict=True))


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict of tensors alone: .safetensors, or a .pth, which is read without unpickling anything else.

    Raises:
        ValueError: For any other file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path}: expected a state dict, got no such file") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected a state dict (.safetensors), got: {error}") from None
    except Exception as error:  # what torch.load raises for other files is of many kinds
        raise ValueError(f"{path}: expected a state dict of tensors alone, got: {str(error).splitlines()[0]}") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path}: expected a state dict of tensors alone, got {type(state).__name__}")
    return state
