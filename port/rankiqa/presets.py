"""How the original trains, as settings: upstream's four solvers, and the paper's values.

Source: upstream src/{RankIQA,FT}/*/solver*.prototxt and src/data_layer; paper section 4 for the `-paper` ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Preset:
    """A training: solver, minibatch and loss.

    task: rank or ft. ten_times: which layers learn ten times faster, the output or every fully-connected one.
    Rank minibatches hold `groups` of the list's `list_groups` distortions, `levels` levels and `images` images of each;
    those of fine-tuning `batch` images, sorted by label (highest first) if sort_by_label.
    base_lr, gamma, stepsize: the learning rate falls by gamma every stepsize iterations. margin: of the ranking loss.
    """

    name: str
    task: str
    dataset: str
    source: str
    base_lr: float
    gamma: float
    stepsize: int
    max_iter: int
    ten_times: str
    list_groups: int = 0
    groups: int = 0
    levels: int = 0
    images: int = 0
    batch: int = 0
    sort_by_label: bool = False
    margin: float = 10.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip_gradients: float | None = None
    iter_size: int = 1
    display: int = 100
    average_loss: int = 500
    test_iter: int = 1
    test_interval: int = 1000
    snapshot: int = 10000

    @property
    def size(self) -> int:
        """Images in a minibatch."""
        return self.batch if self.task == "ft" else self.groups * self.levels * self.images

    @property
    def net(self) -> str:
        """Which net of the original it trains: live-rank, live-ft, tid2013-rank or tid2013-ft."""
        return f"{self.dataset}-{self.task}"

    def but(self, **changes) -> Preset:
        """The same with other values. Raises ValueError for a name that a preset has not."""
        unknown = sorted(set(changes) - set(self.__dataclass_fields__))
        if unknown:
            raise ValueError(f"{self.name}: expected settings of a preset, got {', '.join(unknown)}")
        return replace(self, **changes)


_UPSTREAM = (
    Preset(
        name="live-rank", task="rank", dataset="live", source="upstream src/RankIQA/live/solver_vgg.prototxt",
        base_lr=1e-5, gamma=0.1, stepsize=10000, max_iter=50000, ten_times="output",
        list_groups=4, groups=4, levels=6, images=2,
    ),
    Preset(
        name="tid2013-rank", task="rank", dataset="tid2013", source="upstream src/RankIQA/tid2013/solver_vgg.prototxt",
        base_lr=1e-4, gamma=0.1, stepsize=10000, max_iter=50000, ten_times="output",
        list_groups=18, groups=9, levels=5, images=1,
    ),
    Preset(
        name="live-ft", task="ft", dataset="live", source="upstream src/FT/live/solver_live.prototxt",
        base_lr=1e-6, gamma=0.5, stepsize=5000, max_iter=20000, ten_times="all",
        batch=30, test_iter=20,
    ),
    Preset(
        name="tid2013-ft", task="ft", dataset="tid2013", source="upstream src/FT/tid2013/solver_vgg.prototxt",
        base_lr=1e-5, gamma=0.5, stepsize=5000, max_iter=10000, ten_times="all",
        batch=30, sort_by_label=True, test_iter=20,
    ),
)  # fmt: skip
_PAPER = (
    Preset(
        name="live-rank-paper", task="rank", dataset="live", source="paper section 4",
        base_lr=1e-4, gamma=0.1, stepsize=10000, max_iter=50000, ten_times="output",
        list_groups=4, groups=4, levels=6, images=2,
    ),
    Preset(
        name="tid2013-rank-paper", task="rank", dataset="tid2013", source="paper section 4",
        base_lr=1e-4, gamma=0.1, stepsize=10000, max_iter=50000, ten_times="output",
        list_groups=18, groups=9, levels=5, images=1,
    ),
    Preset(
        name="live-ft-paper", task="ft", dataset="live", source="paper section 4",
        base_lr=1e-6, gamma=0.1, stepsize=10000, max_iter=50000, ten_times="all",
        batch=30, test_iter=20,
    ),
    Preset(
        name="tid2013-ft-paper", task="ft", dataset="tid2013", source="paper section 4",
        base_lr=1e-6, gamma=0.1, stepsize=10000, max_iter=50000, ten_times="all",
        batch=30, sort_by_label=True, test_iter=20,
    ),
)  # fmt: skip

PRESETS = {preset.name: preset for preset in (*_UPSTREAM, *_PAPER)}
