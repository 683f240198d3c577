"""Presets with the original's training settings: upstream's four solvers, and the paper's values.

Source: upstream src/{RankIQA,FT}/*/solver*.prototxt and src/data_layer; paper section 4 for the `-paper` ones.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar, Union

RANK, FINE_TUNE = "rank", "ft"
OUTPUT, ALL = "output", "all"  # the layers whose learning rate is ten times as large
DATASETS = ("live", "tid2013")

MOST = 1e300  # upper limit of any setting; a larger number is useless and may not fit into a float


def _number(
    low: float, high: float = math.inf, *, whole: bool = True, exclusive: bool = False, none: bool = False
) -> Any:
    """Return the arguments of a dataclass field whose value must be a number in low..high (exclusive: above low)."""
    return {"metadata": {"low": low, "high": high, "whole": whole, "exclusive": exclusive, "none": none}}


def check_fields(settings: Any, where: str) -> None:
    """Raise ValueError for the first numeric field whose value has the wrong type or is out of range."""
    for setting in fields(settings):
        if "low" not in setting.metadata:
            continue
        value, rule = getattr(settings, setting.name), setting.metadata
        if value is None and rule["none"]:
            continue
        types: tuple[type, ...] = (int,) if rule["whole"] else (int, float)
        is_number = isinstance(value, types) and not isinstance(value, bool)
        most = min(rule["high"], MOST)
        if is_number and (rule["low"] < value <= most if rule["exclusive"] else rule["low"] <= value <= most):
            continue
        expected = "a whole number, " if rule["whole"] else "a number, "
        expected += f"above {rule['low']:g}" if rule["exclusive"] else f"{rule['low']:g} or more"
        too_large = is_number and value > most
        if too_large or most < MOST:
            expected += f" and at most {most:g}"
        got = "one of 301 digits or more" if isinstance(value, int) and abs(value) > MOST else repr(value)
        raise ValueError(f"{where}: {setting.name}: expected {expected}, got {got}")


def _check_texts(preset: Preset) -> None:
    """Raise ValueError for an invalid name, data set, source, solver or `ten_times` of a preset."""
    # The file names of snapshots begin with the preset's name
    if not isinstance(preset.name, str) or not re.fullmatch(r"\w[\w.-]*", preset.name):
        raise ValueError(f"preset: name: expected letters, digits, '.', '_' and '-', got {preset.name!r}")
    if preset.dataset not in DATASETS:
        raise ValueError(f"{preset.name}: dataset: expected {' or '.join(DATASETS)}, got {preset.dataset!r}")
    if not isinstance(preset.source, str):
        raise ValueError(f"{preset.name}: source: expected text, got {preset.source!r}")
    if not isinstance(preset.solver, SolverSettings):
        raise ValueError(f"{preset.name}: solver: expected SolverSettings, got {type(preset.solver).__name__}")
    if preset.ten_times not in (OUTPUT, ALL):
        raise ValueError(f"{preset.name}: ten_times: expected {OUTPUT} or {ALL}, got {preset.ten_times!r}")


@dataclass(frozen=True)
class SolverSettings:
    """A Caffe solver with lr_policy "step".

    Attributes:
        base_lr: The initial learning rate.
        gamma: The factor by which the rate is multiplied every `stepsize` iterations.
        stepsize: In iterations.
        max_iter: Number of iterations of the training.
        momentum: The momentum of SGD.
        weight_decay: The weight of L2 regularisation.
        clip_gradients: The maximum joint L2 norm of all gradients, or None for no limit.
        iter_size: Number of minibatches whose gradients are averaged for one iteration.
        display: Iterations between lines of the log; 0 for none.
        average_loss: Number of losses that the log averages.
        test_iter: Number of minibatches of a test phase.
        test_interval: Iterations between test phases; 0 for none.
        snapshot: Iterations between snapshots; 0 for only one, at the end.

    Raises:
        ValueError: For a value of the wrong type or out of range.
    """

    base_lr: float = field(**_number(0, whole=False))
    gamma: float = field(**_number(0, whole=False))
    stepsize: int = field(**_number(1))
    max_iter: int = field(**_number(0))
    momentum: float = field(default=0.9, **_number(0, 1, whole=False))
    weight_decay: float = field(default=5e-4, **_number(0, whole=False))
    clip_gradients: float | None = field(default=None, **_number(0, whole=False, none=True))
    iter_size: int = field(default=1, **_number(1))
    display: int = field(default=100, **_number(0))
    average_loss: int = field(default=500, **_number(1))
    test_iter: int = field(default=1, **_number(1))
    test_interval: int = field(default=1000, **_number(0))
    snapshot: int = field(default=10000, **_number(0))

    def __post_init__(self) -> None:
        check_fields(self, "solver settings")


@dataclass(frozen=True)
class RankPreset:
    """The settings for training by ranking.

    A minibatch contains `groups` of the list's `list_groups` distortions, `levels` levels (including pristine) of each,
    and `images` images of each level.

    Attributes:
        name: The preset's name.
        dataset: "live" or "tid2013".
        source: The source of the values.
        solver: The solver's settings.
        list_groups: Number of distortions in the list.
        groups: Number of distortions in a minibatch.
        levels: Number of levels of each distortion, including pristine.
        images: Number of images of each level in a minibatch.
        margin: The margin of the ranking loss, in units of the score (the paper's epsilon).
        ten_times: The layers whose learning rate is ten times as large: "output", or "all" fully-connected ones.

    Raises:
        ValueError: For a value of the wrong type or out of range.
    """

    name: str
    dataset: str
    source: str
    solver: SolverSettings
    list_groups: int = field(**_number(1))
    groups: int = field(**_number(1))
    levels: int = field(**_number(2))
    images: int = field(**_number(1))
    margin: float = field(default=10.0, **_number(0, whole=False))
    ten_times: str = OUTPUT

    def __post_init__(self) -> None:
        _check_texts(self)
        check_fields(self, self.name)

    @property
    def task(self) -> str:
        """The task: "rank"."""
        return RANK

    @property
    def size(self) -> int:
        """Images in a minibatch."""
        return self.groups * self.levels * self.images

    @property
    def net(self) -> str:
        """The original's net that is trained: live-rank or tid2013-rank."""
        return f"{self.dataset}-{self.task}"

    def but(self, **changes: Any) -> RankPreset:
        """The same with other values, of the preset or its solver. Raises ValueError for an unknown setting."""
        return _changed(self, changes)


@dataclass(frozen=True)
class FineTunePreset:
    """The settings for fine-tuning on opinion scores.

    Attributes:
        name: The preset's name.
        dataset: "live" or "tid2013".
        source: The source of the values.
        solver: The solver's settings.
        batch: Number of images in a minibatch.
        sort_by_label: Whether a minibatch is sorted from the highest label to the lowest.
        ten_times: The layers whose learning rate is ten times as large: "output", or "all" fully-connected ones.

    Raises:
        ValueError: For a value of the wrong type or out of range.
    """

    name: str
    dataset: str
    source: str
    solver: SolverSettings
    batch: int = field(**_number(1))
    sort_by_label: bool = False
    ten_times: str = ALL

    def __post_init__(self) -> None:
        _check_texts(self)
        check_fields(self, self.name)
        if not isinstance(self.sort_by_label, bool):
            raise ValueError(f"{self.name}: sort_by_label: expected true or false, got {self.sort_by_label!r}")

    @property
    def task(self) -> str:
        """The task: "ft"."""
        return FINE_TUNE

    @property
    def size(self) -> int:
        """Images in a minibatch."""
        return self.batch

    @property
    def net(self) -> str:
        """The original's net that is trained: live-ft or tid2013-ft."""
        return f"{self.dataset}-{self.task}"

    def but(self, **changes: Any) -> FineTunePreset:
        """The same with other values, of the preset or its solver. Raises ValueError for an unknown setting."""
        return _changed(self, changes)


Preset = Union[RankPreset, FineTunePreset]
AnyPreset = TypeVar("AnyPreset", RankPreset, FineTunePreset)


def _changed(preset: AnyPreset, changes: dict[str, Any]) -> AnyPreset:
    own = {field.name for field in fields(preset)} - {"solver"}
    solver = {field.name for field in fields(SolverSettings)}
    unknown = sorted(set(changes) - own - solver)
    if unknown:
        known = ", ".join(sorted((own | solver) - {"name", "dataset", "source"}))
        raise ValueError(f"{preset.name}: expected settings of this preset ({known}), got {', '.join(unknown)}")
    settings = replace(preset.solver, **{key: value for key, value in changes.items() if key in solver})
    return replace(preset, solver=settings, **{key: value for key, value in changes.items() if key in own})


def flat(preset: Preset) -> dict[str, Any]:
    """Return {name: value} of all settings of a preset, including those of its solver."""
    own = {field.name: getattr(preset, field.name) for field in dataclasses.fields(preset) if field.name != "solver"}
    return {**own, "task": preset.task, **asdict(preset.solver)}


_UPSTREAM: tuple[Preset, ...] = (
    RankPreset(
        "live-rank", "live", "upstream src/RankIQA/live/solver_vgg.prototxt",
        SolverSettings(base_lr=1e-5, gamma=0.1, stepsize=10000, max_iter=50000),
        list_groups=4, groups=4, levels=6, images=2,
    ),
    RankPreset(
        "tid2013-rank", "tid2013", "upstream src/RankIQA/tid2013/solver_vgg.prototxt",
        SolverSettings(base_lr=1e-4, gamma=0.1, stepsize=10000, max_iter=50000),
        list_groups=18, groups=9, levels=5, images=1,
    ),
    FineTunePreset(
        "live-ft", "live", "upstream src/FT/live/solver_live.prototxt",
        SolverSettings(base_lr=1e-6, gamma=0.5, stepsize=5000, max_iter=20000, test_iter=20),
        batch=30,
    ),
    FineTunePreset(
        "tid2013-ft", "tid2013", "upstream src/FT/tid2013/solver_vgg.prototxt",
        SolverSettings(base_lr=1e-5, gamma=0.5, stepsize=5000, max_iter=10000, test_iter=20),
        batch=30, sort_by_label=True,
    ),
)  # fmt: skip
_PAPER: tuple[Preset, ...] = (
    RankPreset(
        "live-rank-paper", "live", "paper section 4",
        SolverSettings(base_lr=1e-4, gamma=0.1, stepsize=10000, max_iter=50000),
        list_groups=4, groups=4, levels=6, images=2,
    ),
    RankPreset(
        "tid2013-rank-paper", "tid2013", "paper section 4",
        SolverSettings(base_lr=1e-4, gamma=0.1, stepsize=10000, max_iter=50000),
        list_groups=18, groups=9, levels=5, images=1,
    ),
    FineTunePreset(
        "live-ft-paper", "live", "paper section 4",
        SolverSettings(base_lr=1e-6, gamma=0.1, stepsize=10000, max_iter=50000, test_iter=20),
        batch=30,
    ),
    FineTunePreset(
        "tid2013-ft-paper", "tid2013", "paper section 4",
        SolverSettings(base_lr=1e-6, gamma=0.1, stepsize=10000, max_iter=50000, test_iter=20),
        batch=30, sort_by_label=True,
    ),
)  # fmt: skip

PRESETS: dict[str, Preset] = {preset.name: preset for preset in (*_UPSTREAM, *_PAPER)}
