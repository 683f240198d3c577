"""Any classification network of timm or torchvision, with one output: `timm:resnet18`, `torchvision:convnext_tiny`.

Such a network takes what its library says (RGB, mean and deviation, crop); its weights file names it, so that loading
needs neither the network nor the original weights. Source: none of the original's; for new experiments.
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
# Networks of torchvision with outputs that only their own training uses, by the first part of their weights' names
AUXILIARY = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}


class Backbone(Scorer):
    """A network of a library whose last layer has one output.

    Args:
        arch: LIBRARY:NAME.
        net: The library's module, (N, 3, H, W) -> (N, 1).
        input_spec: The crops that it takes.
        heads: Names of its output layers inside `net`; of several the network itself takes the mean.
        meaning: What the score means.
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
        """Names of the output layers."""
        return self.fc

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
    except Exception as error:  # timm's and the hub's own kinds, many
        raise ValueError(f"arch timm:{name}: {' '.join(str(error).split())[:300]}") from None
    config = need("timm.data", "timm", f"arch timm:{name}").resolve_model_data_config(net)
    spec = InputSpec(config["input_size"][-1], "RGB", 1.0, tuple(config["mean"]), tuple(config["std"]))
    return net, spec, _one_output(net, name)


def _close(name: str, known: Sequence[str]) -> str:
    """The known names that come nearest to one that is not known."""
    inside = [other for other in known if other in name or (len(name) > 2 and name in other)]
    return ", ".join(
        [*dict.fromkeys([*inside[:5], *difflib.get_close_matches(name, known, 5)])][:5] or [*known[:5], ".."]
    )


def _one_output(net: nn.Module, name: str) -> list[str]:
    """The layers of timm's classifier that have one output: one, or one for each of its branches."""
    if not hasattr(net, "get_classifier"):
        raise ValueError(f"arch timm:{name}: expected a network for classification, got {type(net).__name__}")
    classifier = net.get_classifier()  # pyright: ignore[reportCallIssue]
    inside = {id(module) for head in _modules(classifier) for module in head.modules()}
    heads = [key for key, module in net.named_modules() if id(module) in inside and _outputs(module) == 1]
    if not heads:
        got = type(classifier).__name__
        raise ValueError(f"arch timm:{name}: expected a network that ends in a linear layer, got {got}")
    return heads


def _modules(found: Any) -> Iterator[nn.Module]:
    """timm gives a layer, or several in a tuple."""
    if isinstance(found, nn.Module):
        yield found
    elif isinstance(found, Iterable) and not isinstance(found, str):
        for part in found.values() if isinstance(found, dict) else found:
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
    # Auxiliary outputs would change what the network returns while it trains. transform_input: those networks take
    # the crops' mean and deviation back, since their weights for ImageNet are of another library's
    options: dict[str, Any] = {}
    if name in AUXILIARY:
        options = {"aux_logits": False, "transform_input": True, "init_weights": True}
    elif name.startswith("vit_"):
        options = {"image_size": crop}
    try:
        net = models.get_model(name, weights=None, **options)
    except Exception as error:  # torchvision's own kinds
        raise ValueError(f"arch torchvision:{name}: {' '.join(str(error).split())[:300]}") from None
    head = [key for key, module in net.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))][-1]
    parent, _, last = head.rpartition(".")
    layer = net.get_submodule(head)
    if isinstance(layer, nn.Linear):
        setattr(net.get_submodule(parent) if parent else net, last, nn.Linear(layer.in_features, 1))
    else:  # SqueezeNet ends in a convolution, and a ReLU, behind which a score of less than 0 would learn nothing
        ending = net.get_submodule(parent)
        setattr(ending, last, nn.Conv2d(layer.in_channels, 1, layer.kernel_size, layer.stride))
        for key, module in ending.named_children():
            if isinstance(module, nn.ReLU):
                setattr(ending, key, nn.Identity())
    spec = InputSpec(crop, "RGB", 1.0, tuple(transforms.mean), tuple(transforms.std))
    return net, spec, [head]


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
    heads = tuple(f"{head.removeprefix('net.')}." for head in model.outputs)
    state = under_names(state, own)
    library, _, name = model.arch.partition(":")
    if library == TORCHVISION and name in AUXILIARY:
        state = {key: value for key, value in state.items() if key.partition(".")[0] not in AUXILIARY[name]}
    if not own.keys() & state.keys() and (renamed := _by_order(state, own, heads)):
        state = renamed
        said.append("its names are another implementation's; taken in order, each of the same kind and shape")
    # A count that old files lack, and that nothing reads: batch norm has a momentum of its own
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
    anew = [
        name for name, head in zip(model.outputs, heads, strict=True) if not any(key.startswith(head) for key in fits)
    ]
    if anew:
        said.append(f"without {', '.join(anew)}, which start{'s' * (len(anew) == 1)} anew")
    return said


def _by_order(state: dict[str, Tensor], own: dict[str, Tensor], heads: tuple[str, ...]) -> dict[str, Tensor] | None:
    """A state dict under a network's own names, paired in order; None where the two differ in more than names."""
    if len(state) != len(own):
        return None
    for (theirs, value), (ours, expected) in zip(state.items(), own.items(), strict=True):
        same = value.shape == expected.shape or ours.startswith(heads)
        if not same or theirs.rpartition(".")[2] != ours.rpartition(".")[2]:
            return None
    return dict(zip(own, state.values(), strict=True))
