"""Where a training departs from the original's way; every default is the original's."""

from __future__ import annotations

from dataclasses import dataclass

CAFFE, SGD, ADAMW = "caffe", "sgd", "adamw"
OPTIMIZERS = (CAFFE, SGD, ADAMW)
STEP, COSINE, ONE_CYCLE, CONSTANT = "step", "cosine", "onecycle", "constant"
SCHEDULES = (STEP, COSINE, ONE_CYCLE, CONSTANT)
FP32, BF16 = "fp32", "bf16"
PRECISIONS = (FP32, BF16)


@dataclass(frozen=True)
class Recipe:
    """Choices of a new experiment; rate, weight decay, clipping and margin are settings of the preset.

    Attributes:
        optimizer: "caffe" (Caffe's SGD), or torch's "sgd" or "adamw".
        schedule: Of the learning rate: "step" (the preset's gamma and stepsize), "cosine" (to 0 at max_iter),
            "onecycle" (up for 30% of max_iter, then down) or "constant".
        warm_up: Iterations in which the rate rises from a hundredth, before the schedule begins; not with "onecycle".
        precision: "fp32", or "bf16": the network runs under torch.autocast; weights and loss stay float32.
        freeze_batch_norm: Whether batch norm keeps its running statistics and normalises by them; its scale and shift
            are trained.
        compile: Whether the network runs through torch.compile.
        channels_last: Whether weights and crops are kept in channels-last memory.
        dropout: Share of the values before the output layer that are set to 0; of timm's networks.
        drop_path: Share of the residual blocks that are passed over in the last block (stochastic depth); of timm's.

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
    dropout: float = 0.0
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if isinstance(self.warm_up, bool) or not isinstance(self.warm_up, int) or self.warm_up < 0:
            raise ValueError(f"warm_up: expected a whole number, 0 or more, got {self.warm_up!r}")
        for name in ("dropout", "drop_path"):
            share = getattr(self, name)
            if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
                raise ValueError(f"{name}: expected a number, 0 or more and below 1, got {share!r}")
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
