"""What every network of this package is: a module that scores crops, and says what it takes and what a score means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from rankiqa.data.input_spec import InputSpec
from rankiqa.models.sampling import ORIGINAL, Sampling
from rankiqa.models.score_meaning import ScoreMeaning


class Scorer(nn.Module, PyTorchModelHubMixin):
    """A network with one output: crops (N, 3, crop, crop) to scores (N, 1).

    `save_pretrained(folder)` and `from_pretrained(folder)` are huggingface_hub's; no network is needed for a folder.

    Attributes:
        arch: Its name in the registry.
        input_spec: The crops that it takes.
        fc: Names of the layers that are trained anew for another task.
        head: Name of the output layer.
        meaning: What the score means.
        sampling: How an image is scored where its caller does not say otherwise.
    """

    arch: str
    input_spec: InputSpec
    fc: tuple[str, ...]
    head: str
    meaning: ScoreMeaning
    sampling: Sampling = ORIGINAL

    @property
    def crop(self) -> int:
        """Side of the square input in pixels."""
        return self.input_spec.crop

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the layers that give the output: one, but for networks of a library with several branches."""
        return (self.head,)

    @property
    def lower_is_better(self) -> bool | None:
        """Whether a lower score means better quality; None where the weights file does not say."""
        return self.meaning.lower_is_better

    @property
    def score_range(self) -> tuple[float, float] | None:
        """About where scores lie, (lowest, highest); None where they have no unit or the file does not say."""
        return self.meaning.score_range

    def _save_pretrained(self, save_directory: Path) -> None:
        from rankiqa.models import pretrained  # late: it builds networks

        pretrained.save(self, save_directory)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, map_location: str = "cpu", **options: Any) -> Scorer:
        from rankiqa.models import pretrained  # late: it builds networks

        return pretrained.load(model_id, map_location, **options)


def check_input(model: Scorer, x: Tensor) -> None:
    """Raise ValueError unless a tensor is what a network takes: floating point (N, 3, crop, crop).

    A network's `forward` does not look, so that torch.compile, torch.export and fx see a plain loop.
    """
    crop = model.input_spec.crop
    if x.dim() != 4 or tuple(x.shape[1:]) != (3, crop, crop):
        raise ValueError(f"{model.arch} input: expected (N, 3, {crop}, {crop}), got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(f"{model.arch} input: expected floating point, got {x.dtype}")
