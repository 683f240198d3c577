"""How large an experiment is: `small` for two cores, `paper` with the paper's values."""

from __future__ import annotations

from dataclasses import dataclass

from rankiqa.training.presets import PRESETS, FineTunePreset, RankPreset

TYPES = ("JPEG", "GN", "GB", "JP2K")  # LIVE's, in the order of upstream's lists
LEVELS = 6  # pristine included


@dataclass(frozen=True)
class Settings:
    """The size of an experiment.

    Attributes:
        name: Of the preset.
        arch: The network of levels, mining and ablation.
        archs: Those of backbones.
        iterations: Of a training by ranking; `short` of those of backbones and ablation.
        short: Iterations of each of the many trainings of backbones and ablation.
        every: Iterations between measurements on the held-out images.
        images: Photographs at each level in a minibatch.
        base_lr: Of ranking.
        ft_base_lr: Of fine-tuning.
        ft_batch: Images in a minibatch of fine-tuning.
        stepsize: Iterations after which the rate is multiplied by `gamma`.
        gamma: See stepsize.
        clip: The largest norm of all gradients of ranking; None: not limited.
        ft_clip: The same of fine-tuning.
        centred_start: Whether the first filters of a network without initial weights sum to zero: the input is 0..255
            with its mean left in, and from the plain draw scores take some four times as many iterations.
        photographs: The most that are taken of the folder.
        held_out: Share of them that is never trained on.
        splits: Random splits by reference of backbones.
        pool: Of hard-negative mining: so many times the pairs are forwarded that are trained on.
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
        """live-rank with these settings."""
        preset = PRESETS["live-rank"]
        assert isinstance(preset, RankPreset)
        return preset.but(
            max_iter=iterations, images=self.images, levels=levels, base_lr=self.base_lr, stepsize=self.stepsize,
            gamma=self.gamma, clip_gradients=self.clip, snapshot=min(self.every, iterations), display=0,
        )  # fmt: skip

    def fine_tune_preset(self, *, iterations: int) -> FineTunePreset:
        """live-ft with these settings."""
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
