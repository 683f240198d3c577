"""Options in which training may differ from the original. Every default reproduces the original."""

from __future__ import annotations

from dataclasses import dataclass

CAFFE, SGD, ADAMW = "caffe", "sgd", "adamw"
OPTIMIZERS = (CAFFE, SGD, ADAMW)
STEP, COSINE, ONE_CYCLE, CONSTANT = "step", "cosine", "onecycle", "constant"
SCHEDULES = (STEP, COSINE, ONE_CYCLE, CONSTANT)
FP32, TF32, BF16 = "fp32", "tf32", "bf16"
PRECISIONS = (FP32, TF32, BF16)
SAME_TYPE, SAME_IMAGE, ALL_TYPES, BY_VIF = "type", "same-image", "all", "vif"
PAIRS = (SAME_TYPE, SAME_IMAGE, ALL_TYPES, BY_VIF)
MEANS = ("images", "pairs")


@dataclass(frozen=True)
class Recipe:
    """The options of a new experiment. Rate, weight decay, clipping and margin are settings of the preset instead.

    Attributes:
        optimizer: "caffe" (Caffe's SGD), or torch's "sgd" or "adamw".
        schedule: The learning-rate schedule: "step" (the preset's gamma and stepsize), "cosine" (to 0 at max_iter),
            "onecycle" (up for 30% of max_iter, then down) or "constant".
        warm_up: Number of iterations in which the rate rises from a hundredth, before the schedule begins; not with
            "onecycle".
        precision: "fp32"; "tf32", with which GPUs that support it round the factors of products to ten bits; or "bf16",
            with which the network runs under torch.autocast while weights and loss stay float32.
        freeze_batch_norm: Whether batch norm normalises by its running statistics and does not update them. Its scale
            and shift are still trained.
        compile: Whether to use torch.compile.
        channels_last: Whether to store weights and crops in channels-last memory.
        winograd: Whether to compute 3 x 3 convolutions and their gradients with Winograd's algorithm (CPU, float32).
        dropout: Share of the values before the output layer that are set to 0; for timm's networks.
        drop_path: Share of residual blocks that are skipped in the last block (stochastic depth); for timm's networks.
        pairs: The pairs that the ranking loss compares. "type": versions of one distortion by their levels, also of
            different photographs (the original). "same-image": versions of one photograph. "all": like "type", and also
            every pristine image with the versions of other distortions. "vif": like "type", and also versions of
            different distortions by their visual information fidelity.
        pristine_above: With "all", the mildest level of other distortions' versions that are ranked below a pristine
            image.
        vif_gap: With "vif", the smallest difference in fidelity of a ranked pair. The fidelity of a pristine image is 1
            and falls towards 0.
        loss_mean: Whether to divide the sum over the pairs by the number of "images" (the original) or of "pairs".

    Raises:
        ValueError: For an unknown choice, or choices that cannot be combined.
    """

    optimizer: str = CAFFE
    schedule: str = STEP
    warm_up: int = 0
    precision: str = FP32
    freeze_batch_norm: bool = False
    compile: bool = False
    channels_last: bool = False
    winograd: bool = False
    dropout: float = 0.0
    drop_path: float = 0.0
    pairs: str = SAME_TYPE
    pristine_above: int = 1
    vif_gap: float = 0.1
    loss_mean: str = "images"

    def __post_init__(self) -> None:
        known = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "precision": PRECISIONS, "pairs": PAIRS}
        for name, choices in {**known, "loss_mean": MEANS}.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")
        for name in ("freeze_batch_norm", "compile", "channels_last", "winograd"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: expected true or false, got {getattr(self, name)!r}")
        for name, least in (("warm_up", 0), ("pristine_above", 1)):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise ValueError(f"{name}: expected a whole number, {least} or more, got {number!r}")
        if self.pristine_above > 1 and self.pairs != ALL_TYPES:
            raise ValueError(f"pristine_above: expected 1 with the pairs {self.pairs}, got {self.pristine_above}")
        gap = self.vif_gap
        if isinstance(gap, bool) or not isinstance(gap, (int, float)) or not 0 < gap < 1:
            raise ValueError(f"vif_gap: expected a number above 0 and below 1, got {gap!r}")
        if gap != 0.1 and self.pairs != BY_VIF:
            raise ValueError(f"vif_gap: expected 0.1 with the pairs {self.pairs}, got {gap}")
        for name in ("dropout", "drop_path"):
            share = getattr(self, name)
            if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
                raise ValueError(f"{name}: expected a number, 0 or more and below 1, got {share!r}")
        others = {"precision": self.precision != FP32, "compile": self.compile, "channels_last": self.channels_last}
        if self.winograd and any(others.values()):
            changed = ", ".join(name for name, is_changed in others.items() if is_changed)
            raise ValueError(f"winograd: expected fp32 in contiguous memory, not compiled, got another {changed}")
        if self.warm_up and self.schedule == ONE_CYCLE:
            raise ValueError("warm_up: expected 0 with the schedule onecycle, which has its own warm-up")

    @property
    def is_caffes_solver(self) -> bool:
        """Whether to update the weights with Caffe's SGD and its own learning-rate policy."""
        return self.optimizer == CAFFE and self.schedule == STEP and not self.warm_up

    @property
    def ends_at_max_iter(self) -> bool:
        """Whether the learning rate depends on max_iter, so that a resumed run cannot change it."""
        return self.schedule in (COSINE, ONE_CYCLE)


ORIGINAL = Recipe()
