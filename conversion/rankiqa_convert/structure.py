"""Compare the layer list of a model file with the architecture table, to check that both compute the same.

Names and shapes of weights are not enough: with average instead of max pooling, or a missing ReLU, they are the same.
A caffemodel states every layer with its settings, so the path from the image to the score can be traced and compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from google.protobuf.message import DecodeError

from caffemodel import CaffemodelError, Net
from caffemodel.message import text_of
from caffemodel.schema import FULL, PARAMETERS, is_repeated
from caffemodel.upgrade import to_v2
from rankiqa.models.architectures import Architecture
from rankiqa_convert.expected_layers import Step, expected_steps
from rankiqa_convert.layer_settings import read_settings, settings_of

TRAIN, TEST = 0, 1
_TRANSPARENT = ("Split", "Dropout")  # dropout has no effect on scores
# layer types that may read the score, besides those that end in Loss and Python layers with a label
_ENDS = ("Accuracy", "Silence", "HDF5Output", "ArgMax")
_ORDERED = ("Data", "ImageData", "WindowData", "MemoryData")  # data layers whose first top is the image


def v2_layers(net: Net) -> list:
    """Return a net's layers as V2 messages, upgraded as Caffe does it; [] for HDF5, which has no layer list.

    Raises:
        CaffemodelError: If the layers cannot be upgraded.
    """
    if net.message is None:
        return []
    try:
        return list(to_v2(net.message).layer)
    except (ValueError, DecodeError) as error:
        raise CaffemodelError(
            f"{net.name or 'the net'}: expected a layer list that can be upgraded, got: {error}"
        ) from None


def states_structure(layers: Sequence) -> bool:
    """Return whether any layer states its connections or settings."""
    return any(layer.bottom or layer.top or any(layer.HasField(name) for name, _, _ in PARAMETERS) for layer in layers)


def differences(net: Net, architecture: Architecture, fc: Sequence[str], until: str | None = None) -> list[str]:
    """List all differences between what a net computes and the table.

    Args:
        net: The content of a model file or a prototxt.
        architecture: The expected network.
        fc: The names of its fully-connected layers.
        until: The last layer to compare; then neither the input nor the layers after it are checked. None: compare
            the whole network.

    Returns:
        A description of each difference, with the layer's name.
    """
    layers, differences = v2_layers(net), []
    steps = expected_steps(architecture, fc)
    if until is not None:
        steps = steps[: [step.name for step in steps].index(until) + 1]
    try:
        phases = _phases(net, layers)
    except DecodeError:
        return ["the rules for phases: expected include and exclude messages, got damaged ones"]
    for kept in phases:
        for problem in _Flow(kept, net, architecture, steps, until is None).problems():
            if problem not in differences:
                differences.append(problem)
    return differences


def _phases(net: Net, layers: list) -> list[list]:
    """Return the layers of each phase that has a data layer, or all layers if the net has no data layer."""
    state = net.message.state if net.message is not None else b""
    kept = [[layer for layer in layers if _in_phase(layer, phase, state)] for phase in (TRAIN, TEST)]
    # Caffe's snapshots keep the layers of one phase, so the other phase has no data layer
    fed = [part for part in kept if any(not layer.bottom for layer in part)]
    if not fed:
        return [layers]
    return fed[:1] if len(fed) == 2 and fed[0] == fed[1] else fed


def _in_phase(layer, phase: int, state: bytes) -> bool:
    """Return whether a layer is part of a phase."""
    # CAFFE: a layer is kept if any include rule is met or, without include rules, no exclude rule is met (net.cpp)
    given = FULL["NetState"].FromString(state)

    def met(rule_bytes: bytes) -> bool:
        """Return whether the net's state meets a rule."""
        rule = FULL["NetStateRule"].FromString(rule_bytes)
        if rule.HasField("phase") and rule.phase != phase:
            return False
        if rule.HasField("min_level") and given.level < rule.min_level:
            return False
        if rule.HasField("max_level") and given.level > rule.max_level:
            return False
        return set(rule.stage) <= set(given.stage) and not set(rule.not_stage) & set(given.stage)

    return any(map(met, layer.include)) if layer.include else not any(map(met, layer.exclude))


class _Flow:
    """The data flow between the layers of one phase, traced back from the output."""

    def __init__(self, layers: list, net: Net, architecture: Architecture, steps: list[Step], whole: bool) -> None:
        """Find the layer that makes each blob.

        Args:
            layers: The layers of the phase, as V2 messages.
            net: The net that they belong to.
            architecture: The expected network.
            steps: The expected layers.
            whole: Also check the input and the layers after the output.
        """
        self.layers, self.architecture, self.steps, self.whole = layers, architecture, steps, whole
        self.declared = [text_of(name) for name in net.message.input] if net.message is not None else []
        self.names = [text_of(layer.name) for layer in layers]
        self.reads: list[list[tuple[str, int | None, int]]] = []  # per layer: (blob, maker, top of the maker)
        maker_of: dict[str, tuple[int, int]] = {}
        for i, layer in enumerate(layers):
            bottoms = [text_of(blob) for blob in layer.bottom]
            makers = [maker_of.get(blob, (None, 0)) for blob in bottoms]
            self.reads.append([(blob, maker, top) for blob, (maker, top) in zip(bottoms, makers, strict=True)])
            maker_of.update({text_of(blob): (i, k) for k, blob in enumerate(layer.top)})

    def problems(self) -> list[str]:
        """Describe all differences from the expected layers."""
        last = self.steps[-1].name
        if last not in self.names:
            return [f"missing {self.steps[-1]} among the layers with data"]
        chain, differences = self._way_back(self.names.index(last))
        differences += self._compare([i for i in chain if self.layers[i].type not in _TRANSPARENT])
        if self.whole:
            differences += self._after(chain)
        return differences

    def _label(self, i: int) -> str:
        """Return a layer's name and type for messages."""
        return f"{self.names[i]} ({text_of(self.layers[i].type)})"

    def _way_back(self, at: int) -> tuple[list[int], list[str]]:
        """Return (the layers from the image to layer `at`, problems with connections and the input)."""
        chain, differences = [at], []
        while True:
            layer, reads = self.layers[at], self.reads[at]
            if len(reads) != 1 or (len(layer.top) != 1 and layer.type != "Split"):
                differences.append(
                    f"{self._label(at)}: expected one bottom and one top, got {len(reads)} and {len(layer.top)}"
                )
            if not reads:
                break
            blob, maker, top = reads[0]
            if maker is None:
                if self.whole:
                    differences += self._outside(at, blob)
                break
            if not self.layers[maker].bottom:
                if self.whole:
                    differences += self._source(maker, top)
                break
            at = maker
            chain.append(at)
        return chain[::-1], differences

    def _outside(self, at: int, blob: str) -> list[str]:
        """Describe problems with an input that no layer makes; old caffemodels declare it by name or not at all."""
        sources = [name for i, name in enumerate(self.names) if not self.layers[i].bottom]
        if (self.declared and blob not in self.declared) or (sources and not self.declared):
            return [f"{self._label(at)}: expected to read the network's input, got bottom {blob}, which no layer makes"]
        if self.declared and blob != ("data" if "data" in self.declared else self.declared[0]):
            return [f"{self._label(at)}: expected to read the image, got input {blob}"]
        return []

    def _source(self, i: int, top: int) -> list[str]:
        """Describe problems with the layer that provides the image."""
        layer, differences = self.layers[i], []
        tops = [text_of(name) for name in layer.top]
        ordered = layer.type in _ORDERED or layer.type == "Input"
        expected = tops.index("data") if "data" in tops else 0 if ordered else top
        if top != expected:
            differences.append(
                f"{self._label(i)}: expected top {tops[expected]} to be read as the image, got {tops[top]}"
            )
        crop, image = self.architecture.crop, (3, self.architecture.crop, self.architecture.crop)
        if layer.type == "Input":
            shapes = read_settings(layer, "input_param").shape
            shape = tuple(shapes[top if len(shapes) > 1 else 0].dim) if shapes else ()
            if len(shape) and shape[1:] != image:
                differences.append(
                    f"{self._label(i)}: expected N x 3 x {crop} x {crop}, got {' x '.join(map(str, shape))}"
                )
        # the weights depend on the data layer's transformation of the pixels
        for field in ("transform_param", "data_param", "image_data_param", "window_data_param"):
            settings = read_settings(layer, field)
            known = settings.DESCRIPTOR.fields_by_name
            for name, wanted in (("scale", 1.0), ("mean_file", ""), ("mean_value", []), ("force_gray", False),
                                ("is_color", True), ("crop_size", crop)):  # fmt: skip
                if name not in known or (not is_repeated(known[name]) and not settings.HasField(name)):
                    continue
                value = getattr(settings, name)
                value = list(value) if is_repeated(known[name]) else value
                if value != wanted and not (name == "crop_size" and value == 0):
                    differences.append(f"{self._label(i)} {name}: expected {wanted or 'none'}, got {value}")
        return differences

    def _compare(self, chain: list[int]) -> list[str]:
        """Describe all differences between the steps of the table and the layers of a chain."""
        got = [Step(self.names[i], text_of(self.layers[i].type), settings_of(self.layers[i])) for i in chain]
        keys = [[(step.type, step.name if step.has_weights else "") for step in side] for side in (self.steps, got)]
        differences, shared = [], {}
        for tag, a, a_end, b, b_end in SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
            if tag == "equal":
                for expected, step in zip(self.steps[a:a_end], got[b:b_end], strict=True):
                    differences += [
                        f"{step} {key}: expected {expected.settings.get(key, 'none')}, got {step.settings.get(key)}"
                        for key in {**expected.settings, **step.settings}
                        if expected.settings.get(key) != step.settings.get(key)
                    ]
                continue
            where = f"after {got[b - 1]}" if b else "at the beginning"
            if b_end < len(got):
                where += f" and before {got[b_end]}"
            expected = ", ".join(map(str, self.steps[a:a_end])) or "nothing"
            differences.append(f"{where}: expected {expected}, got {', '.join(map(str, got[b:b_end])) or 'nothing'}")
        for i in chain:
            for param in self.layers[i].param:
                if param.name and shared.setdefault(param.name, i) != i:
                    differences.append(f"{self._label(i)}: shares its weights with {self._label(shared[param.name])}")
        return differences

    def _after(self, chain: list[int]) -> list[str]:
        """Describe layers that read a blob of the network and are neither part of it nor a loss or measure."""
        differences, inside = [], set(chain)
        for i, layer in enumerate(self.layers):
            makers = {maker for _, maker, _ in self.reads[i]}
            if i in inside or not makers & inside:
                continue
            if layer.type in _TRANSPARENT:
                inside.add(i)
                continue
            in_place = {text_of(top) for top in layer.top} & {blob for blob, _, _ in self.reads[i]}
            ends = layer.type in _ENDS or text_of(layer.type).endswith("Loss")
            if in_place or not (ends or (layer.type == "Python" and len(layer.bottom) > 1)):
                before = next(self._label(maker) for _, maker, _ in self.reads[i] if maker in inside)
                differences.append(f"after {before}: expected a loss or nothing, got {self._label(i)}")
        return differences


def check_types(net: Net, types: dict[str, str]) -> list[str]:
    """Describe layers with weights whose type differs from the table's; layers without a type (HDF5) are skipped."""
    return [
        f"{layer.name}: expected type {types[layer.name]}, got {layer.type}"
        for layer in net.layers
        if layer.blobs and layer.type and layer.name in types and layer.type != types[layer.name]
    ]


def read_prototxt(path) -> Net:
    """Read a network's prototxt of V0, V1 or V2.

    Raises:
        CaffemodelError: If the file is not a network's prototxt.
    """
    from google.protobuf import text_format  # imported here because it is rarely needed

    from caffemodel.files import content_type
    from caffemodel.message import from_message
    from caffemodel.schema import FAST
    from caffemodel.wire import BlobStore

    if content_type(path) != "text" or path.stat().st_size > 1 << 24:
        raise CaffemodelError(f"{path}: expected a network's prototxt, got another kind of file")
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    message = FAST["NetParameter"]()
    try:
        message.ParseFromString(text_format.Parse(text, FULL["NetParameter"]()).SerializeToString())
    except (text_format.ParseError, DecodeError, ValueError, RecursionError) as error:
        raise CaffemodelError(f"{path}: expected a network's prototxt, got line {error}") from None
    if not (message.layer or message.layers):
        raise CaffemodelError(f"{path}: expected a network's prototxt, got one without layers")
    return from_message(message, BlobStore(), str(path))
