"""Classification networks of timm or torchvision with one output: `timm:resnet18`, `torchvision:convnext_tiny`.

The library determines the network's input (RGB, mean and deviation, crop). The weights file stores the network's name,
so loading needs neither internet access nor the original weights. Source: ours, for new experiments.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rankiqa.data.extras import need
from rankiqa.data.input_spec import InputSpec
from rankiqa.models.score_meaning import ScoreMeaning
from rankiqa.models.scorer import Scorer
from rankiqa.models.state_files import misfit, read_state, under_names

TIMM, TORCHVISION = "timm", "torchvision"
LIBRARIES = (TIMM, TORCHVISION)
# torchvision's networks with auxiliary outputs for training, and the name prefixes of the weights of these outputs
AUXILIARY = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}


class Backbone(Scorer):
    """A library's network with one output.

    Args:
        arch: LIBRARY:NAME.
        net: The library's module, (N, 3, H, W) -> (N, 1).
        input_spec: The crops that the network takes.
        heads: Names of the output layers inside `net`. If there are several, the network itself averages them.
        meaning: The meaning of the score.
    """

    def __init__(
        self,
        arch: str,
        net: nn.Module,
        input_spec: InputSpec,
        heads: Sequence[str],
        meaning: ScoreMeaning | None = None,
    ):
        super().__init__()
        self.arch, self.net, self.input_spec = arch, net, input_spec
        self.fc = tuple(f"net.{head}" for head in heads)
        self.head = self.fc[-1]
        self.meaning = meaning or ScoreMeaning()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the output layers."""
        return self.fc

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores (N, 1) of crops (N, 3, crop, crop)."""
        return self.net(x)


def is_backbone(arch: str) -> bool:
    """Return whether a name has the form LIBRARY:NAME with one of the supported libraries."""
    return arch.partition(":")[0] in LIBRARIES and ":" in arch


def build_backbone(arch: str, *, pretrained: bool | str | Path = False, **dropped: float) -> Backbone:
    """Build a library's network with one output, on the CPU.

    Args:
        arch: LIBRARY:NAME, such as "timm:efficientnet_lite0" or "torchvision:resnet18".
        pretrained: True for the library's ImageNet weights, which it downloads. A path for a state dict of the same
            network (.safetensors or .pth), whose output layer may differ. False for new weights.
        dropped: timm's drop_rate and drop_path_rate, for training.

    Raises:
        ValueError: For an unknown network, a missing package, or weights that do not fit or are not available.
    """
    library, _, name = arch.partition(":")
    if library == TIMM:
        net, spec, heads = _timm(name, pretrained is True, **dropped)
    elif library == TORCHVISION:
        net, spec, heads = _torchvision(name)
    else:
        raise ValueError(f"arch: expected timm:NAME or torchvision:NAME, got {arch!r}")
    model = Backbone(arch, net, spec, heads)
    if library == TORCHVISION and pretrained is True:
        copy_state(model, pretrained_state(arch), library)
    elif not isinstance(pretrained, bool):
        copy_state(model, read_state(Path(pretrained)), str(pretrained))
    return model


def _timm(name: str, pretrained: bool, **dropped: float) -> tuple[nn.Module, InputSpec, list[str]]:
    timm = need("timm", "timm", f"arch timm:{name}")
    if not timm.is_model(name):
        raise ValueError(f"arch: expected a network of timm, got {name!r} ({_close(name, timm.list_models())})")
    try:
        net = timm.create_model(name, pretrained=pretrained, num_classes=1, **dropped)
    except Exception as error:  # timm and the hub raise exceptions of many types
        raise ValueError(f"arch timm:{name}: {' '.join(str(error).split())[:300]}") from None
    config = need("timm.data", "timm", f"arch timm:{name}").resolve_model_data_config(net)
    spec = InputSpec(config["input_size"][-1], "RGB", 1.0, tuple(config["mean"]), tuple(config["std"]))
    return net, spec, _one_output(net, name)


def _close(name: str, known: Sequence[str]) -> str:
    """Return the known names that are most similar to an unknown name."""
    inside = [other for other in known if other in name or (len(name) > 2 and name in other)]
    return ", ".join(
        [*dict.fromkeys([*inside[:5], *difflib.get_close_matches(name, known, 5)])][:5] or [*known[:5], ".."]
    )


def _one_output(net: nn.Module, name: str) -> list[str]:
    """Return the names of the layers of timm's classifier that have one output: one, or one per branch."""
    if not hasattr(net, "get_classifier"):
        raise ValueError(f"arch timm:{name}: expected a network for classification, got {type(net).__name__}")
    classifier = net.get_classifier()  # pyright: ignore[reportCallIssue]
    inside = {id(module) for head in _modules(classifier) for module in head.modules()}
    heads = [key for key, module in net.named_modules() if id(module) in inside and _outputs(module) == 1]
    if not heads:
        got = type(classifier).__name__
        raise ValueError(f"arch timm:{name}: expected a network that ends in a linear layer, got {got}")
    return heads


def _modules(classifier: Any) -> Iterator[nn.Module]:
    """Yield the layers of what timm's get_classifier returned: a layer, or a collection of layers."""
    if isinstance(classifier, nn.Module):
        yield classifier
    elif isinstance(classifier, Iterable) and not isinstance(classifier, str):
        for part in classifier.values() if isinstance(classifier, dict) else classifier:
            yield from _modules(part)


def _outputs(module: nn.Module) -> int:
    if isinstance(module, nn.Linear):
        return module.out_features
    return module.out_channels if isinstance(module, nn.Conv2d) else 0


def _torchvision(name: str) -> tuple[nn.Module, InputSpec, list[str]]:
    models = need("torchvision.models", "timm", f"arch torchvision:{name}")
    known = models.list_models(module=models)
    if name not in known:
        raise ValueError(
            f"arch: expected a classification network of torchvision, got {name!r} ({_close(name, known)})"
        )
    transforms = models.get_model_weights(name).DEFAULT.transforms()
    crop = transforms.crop_size[0]
    # Auxiliary outputs would change the network's return value in training. transform_input: the ImageNet weights of
    # these networks come from another library, so the networks convert the crops to its mean and deviation
    options: dict[str, Any] = {}
    if name in AUXILIARY:
        options = {"aux_logits": False, "transform_input": True, "init_weights": True}
    elif name.startswith("vit_"):
        options = {"image_size": crop}
    try:
        net = models.get_model(name, weights=None, **options)
    except Exception as error:  # torchvision raises exceptions of several types
        raise ValueError(f"arch torchvision:{name}: {' '.join(str(error).split())[:300]}") from None
    head = [key for key, module in net.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))][-1]
    parent, _, last = head.rpartition(".")
    layer = net.get_submodule(head)
    if isinstance(layer, nn.Linear):
        setattr(net.get_submodule(parent) if parent else net, last, nn.Linear(layer.in_features, 1))
    else:  # SqueezeNet ends in a convolution and a ReLU; a score below 0 would get no gradient through the ReLU
        ending = net.get_submodule(parent)
        setattr(ending, last, nn.Conv2d(layer.in_channels, 1, layer.kernel_size, layer.stride))
        for key, module in ending.named_children():
            if isinstance(module, nn.ReLU):
                setattr(ending, key, nn.Identity())
    spec = InputSpec(crop, "RGB", 1.0, tuple(transforms.mean), tuple(transforms.std))
    return net, spec, [head]


def pretrained_state(arch: str) -> dict[str, Tensor]:
    """Return a library's ImageNet state dict of a network, from the library's cache or by download.

    Args:
        arch: LIBRARY:NAME.

    Raises:
        ValueError: For an unknown network, a missing package, or weights that are not available.
    """
    library, _, name = arch.partition(":")
    if library == TIMM:
        timm = need("timm", "timm", f"arch {arch}")
        try:
            config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
        except RuntimeError:  # an unknown tag
            config = None
        if config is None or not config.has_weights:
            raise ValueError(f"arch {arch}: expected a network of timm with weights for ImageNet, got one without")
        make = partial(timm.create_model, name, pretrained=True)
    else:
        models = need("torchvision.models", "timm", f"arch {arch}")
        make = partial(models.get_model, name, weights="DEFAULT")
    try:
        return make().state_dict()
    except Exception as error:  # timm, torchvision and the download raise exceptions of many types
        raise ValueError(
            f"arch {arch}: expected weights in the library's cache or a download of them, "
            f"got: {' '.join(str(error).split())[:300]}"
        ) from None


def copy_state(model: Backbone, state: dict[str, Tensor], where: str) -> list[str]:
    """Copy a state dict of the same network into a backbone. Its output layer may have another number of outputs.

    The names may be those of another implementation if the tensors match one by one, in order: the same kind (weight,
    running_mean ..) and shape.

    Args:
        model: The network that gets the weights.
        state: The state dict of the library's network.
        where: Where the state dict comes from, for messages.

    Returns:
        Notes for the user: names of another implementation, an output layer that was not copied.

    Raises:
        ValueError: If tensors are missing, unexpected or do not fit; the message names up to ten of them.
    """
    own, notes = model.net.state_dict(), []
    heads = tuple(f"{head.removeprefix('net.')}." for head in model.outputs)
    state = under_names(state, own)
    library, _, name = model.arch.partition(":")
    if library == TORCHVISION and name in AUXILIARY:
        state = {key: value for key, value in state.items() if key.partition(".")[0] not in AUXILIARY[name]}
    if not own.keys() & state.keys() and (renamed := _by_order(state, own, heads)):
        state = renamed
        notes.append("its names are those of another implementation; tensors were matched in order, by kind and shape")
    # Old files lack num_batches_tracked. Nothing reads it, since these batch norms have a fixed momentum
    needed = [key for key in own if not key.startswith(heads) and not key.endswith(".num_batches_tracked")]
    wrong = [f"missing {key}" for key in needed if key not in state]
    wrong += [f"unexpected {key}" for key in state if key not in own and not key.startswith(heads)]
    fits = {}
    for key in own.keys() & state.keys():
        if key.startswith(heads) and own[key].shape != state[key].shape:
            continue
        if problem := misfit(own[key], state[key]):
            wrong.append(f"{key}: {problem}")
        fits[key] = state[key]
    if wrong:
        more = f"; and {len(wrong) - 10} more" if len(wrong) > 10 else ""
        raise ValueError(f"{where}: expected weights of {model.arch}, got: {'; '.join(sorted(wrong)[:10])}{more}")
    model.net.load_state_dict({**own, **fits})
    kept = [
        name for name, head in zip(model.outputs, heads, strict=True) if not any(key.startswith(head) for key in fits)
    ]
    if kept:
        notes.append(f"without {', '.join(kept)}, whose initial weights are kept")
    return notes


def _by_order(state: dict[str, Tensor], own: dict[str, Tensor], heads: tuple[str, ...]) -> dict[str, Tensor] | None:
    """Rename a state dict to a network's own names, matched in order. Return None if more than the names differ."""
    if len(state) != len(own):
        return None
    for (theirs, value), (ours, expected) in zip(state.items(), own.items(), strict=True):
        same = value.shape == expected.shape or ours.startswith(heads)
        if not same or theirs.rpartition(".")[2] != ours.rpartition(".")[2]:
            return None
    return dict(zip(own, state.values(), strict=True))
