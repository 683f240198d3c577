"""Where a training departs from the original's way; every default is the original's."""

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
    """Choices of a new experiment; rate, weight decay, clipping and margin are settings of the preset.

    Attributes:
        optimizer: "caffe" (Caffe's SGD), or torch's "sgd" or "adamw".
        schedule: Of the learning rate: "step" (the preset's gamma and stepsize), "cosine" (to 0 at max_iter),
            "onecycle" (up for 30% of max_iter, then down) or "constant".
        warm_up: Iterations in which the rate rises from a hundredth, before the schedule begins; not with "onecycle".
        precision: "fp32"; "tf32": a GPU that can may round the factors of products to ten bits; or "bf16": the network
            runs under torch.autocast; weights and loss stay float32.
        freeze_batch_norm: Whether batch norm keeps its running statistics and normalises by them; its scale and shift
            are trained.
        compile: Whether the network runs through torch.compile.
        channels_last: Whether weights and crops are kept in channels-last memory.
        winograd: Whether 3 x 3 convolutions and their gradients are computed by Winograd's algorithm (CPU, float32).
        dropout: Share of the values before the output layer that are set to 0; of timm's networks.
        drop_path: Share of the residual blocks that are passed over in the last block (stochastic depth); of timm's.
        pairs: What the ranking loss compares: "type", the versions of one distortion by their levels, also of different
            photographs (the original's way); "same-image", those of one photograph; "all", as "type", and every
            pristine image with the versions of other distortions; "vif", as "type", and versions of different
            distortions by their visual information fidelity.
        pristine_above: The mildest level above which "all" ranks the pristine images of other distortions.
        vif_gap: How much the fidelity of two versions differs, at least, for "vif" to rank them; fidelity is 1 of a
            pristine image and falls towards 0.
        loss_mean: Whether the sum over the pairs is divided by the number of "images" (the original's) or of "pairs".

    Raises:
        ValueError: For an unknown choice, or two that do not go together.
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
            raise ValueError(f"winograd: expected float32 in rows, not compiled, got another {changed}")
        if self.warm_up and self.schedule == ONE_CYCLE:
            raise ValueError("warm_up: expected 0 with the schedule onecycle, which has a rise of its own")

    @property
    def is_caffes_solver(self) -> bool:
        """Whether Caffe's SGD with its own learning-rate policy updates the weights."""
        return self.optimizer == CAFFE and self.schedule == STEP and not self.warm_up

    @property
    def ends_at_max_iter(self) -> bool:
        """Whether the learning rate depends on max_iter, which a resumed run then cannot change."""
        return self.schedule in (COSINE, ONE_CYCLE)


ORIGINAL = Recipe()
