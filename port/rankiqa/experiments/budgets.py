"""The size of an experiment: `small` for two cores, `paper` with the paper's values."""

from __future__ import annotations

from dataclasses import dataclass

from rankiqa.training.presets import PRESETS, FineTunePreset, RankPreset

TYPES = ("JPEG", "GN", "GB", "JP2K")  # LIVE's types, in the order of upstream's lists
LEVELS = 6  # pristine included


@dataclass(frozen=True)
class Settings:
    """The size of an experiment.

    Attributes:
        name: The name of the preset.
        arch: The network of levels, mining and ablation.
        archs: The networks of backbones.
        iterations: Iterations of a training by ranking in levels and mining.
        short: Iterations of each of the many trainings of backbones and ablation.
        every: Iterations between measurements on the held-out images.
        images: Photographs per level in a minibatch.
        base_lr: The learning rate of ranking.
        ft_base_lr: The learning rate of fine-tuning.
        ft_batch: Images in a minibatch of fine-tuning.
        stepsize: Iterations after which the learning rate is multiplied by `gamma`.
        gamma: See stepsize.
        clip: The largest norm of all gradients together in ranking; None: no limit.
        ft_clip: The same for fine-tuning.
        centred_start: Whether the first filters of a network without initial weights are shifted to sum to zero. The
            input is 0..255 without mean subtraction, and from unshifted filters the scores need about four times as
            many iterations.
        photographs: The largest number of photographs that is used.
        held_out: The share of them that is never trained on.
        splits: The number of random splits by reference in backbones.
        pool: Hard-negative mining forwards this many times the pairs that it trains on.
    """

    name: str
    arch: str
    archs: tuple[str, ...]
    iterations: int
    short: int
    every: int
    images: int
    base_lr: float
    ft_base_lr: float
    ft_batch: int
    stepsize: int
    gamma: float
    clip: float | None
    ft_clip: float | None
    centred_start: bool
    photographs: int
    held_out: float
    splits: int
    pool: int

    def rank_preset(self, *, iterations: int, levels: int = LEVELS) -> RankPreset:
        """Return the preset live-rank, changed by these settings."""
        preset = PRESETS["live-rank"]
        assert isinstance(preset, RankPreset)
        return preset.but(
            max_iter=iterations, images=self.images, levels=levels, base_lr=self.base_lr, stepsize=self.stepsize,
            gamma=self.gamma, clip_gradients=self.clip, snapshot=min(self.every, iterations), display=0,
        )  # fmt: skip

    def fine_tune_preset(self, *, iterations: int) -> FineTunePreset:
        """Return the preset live-ft, changed by these settings."""
        preset = PRESETS["live-ft"]
        assert isinstance(preset, FineTunePreset)
        return preset.but(
            max_iter=iterations, batch=self.ft_batch, base_lr=self.ft_base_lr, stepsize=self.stepsize,
            gamma=self.gamma, clip_gradients=self.ft_clip, snapshot=min(self.every, iterations), display=0,
        )  # fmt: skip


SETTINGS = {
    "small": Settings(
        "small", "shallow", ("shallow", "timm:mobilenetv3_small_050"), iterations=120, short=40, every=10, images=1,
        base_lr=4e-5, ft_base_lr=3e-6, ft_batch=12, stepsize=60, gamma=0.5, clip=150, ft_clip=1000, centred_start=True,
        photographs=30, held_out=0.2, splits=2, pool=2,
    ),
    "paper": Settings(
        "paper", "alexnet", ("shallow", "alexnet", "vgg16", "timm:resnet50"), iterations=20000, short=20000, every=1000,
        images=2, base_lr=1e-4, ft_base_lr=1e-6, ft_batch=30, stepsize=10000, gamma=0.1, clip=None, ft_clip=None,
        centred_start=False, photographs=1_000_000, held_out=0.2, splits=10, pool=4,
    ),
}  # fmt: skip
