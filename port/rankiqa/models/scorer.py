"""The base class of all networks: a module that scores crops and describes its input and its score."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from rankiqa.data.input_spec import InputSpec
from rankiqa.models.score_meaning import ScoreMeaning
from rankiqa.models.score_sampling import ORIGINAL, Sampling


class Scorer(nn.Module, PyTorchModelHubMixin):
    """A network with one output that maps crops (N, 3, crop, crop) to scores (N, 1).

    `save_pretrained(folder)` and `from_pretrained(folder)` come from huggingface_hub. They work offline for a folder.

    Attributes:
        arch: Name of the network in the registry.
        input_spec: The crops that the network takes.
        fc: Names of the layers that are re-initialised for another task.
        head: Name of the output layer.
        meaning: The meaning of the score.
        sampling: The default settings for scoring an image.
    """

    arch: str
    input_spec: InputSpec
    fc: tuple[str, ...]
    head: str
    meaning: ScoreMeaning
    sampling: Sampling = ORIGINAL

    @property
    def crop(self) -> int:
        """The side of the square input in pixels."""
        return self.input_spec.crop

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the output layers: one, or several for a library's network with several branches."""
        return (self.head,)

    @property
    def lower_is_better(self) -> bool | None:
        """Whether a lower score means better quality; None if the weights file does not say."""
        return self.meaning.lower_is_better

    @property
    def score_range(self) -> tuple[float, float] | None:
        """The approximate range of scores, (lowest, highest); None if they have no unit or the file does not say."""
        return self.meaning.score_range

    def _save_pretrained(self, save_directory: Path) -> None:
        from rankiqa.models import pretrained  # imported late to avoid a circular import

        pretrained.save(self, save_directory)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Scorer:
        """The network of a folder that `save_pretrained` wrote, or of a repository on the Hugging Face hub.

        Args:
            pretrained_model_name_or_path: The folder, or the repository's name.
            options: map_location; of a repository also huggingface_hub's.

        Raises:
            ValueError: As `rankiqa.load`, and for a path that is no folder.
        """
        name = pretrained_model_name_or_path
        if not isinstance(name, (str, Path)):
            raise ValueError(f"from_pretrained: expected a folder or a repository's name, got {type(name).__name__}")
        if os.path.isdir(name):  # huggingface_hub would read config.json, which need not be whole
            return cls._from_pretrained(model_id=str(name), map_location=options.get("map_location", "cpu"))
        if os.path.exists(name) or str(name).startswith((".", "~", os.sep)):
            what = "a file: rankiqa.load reads one" if os.path.exists(name) else "no such folder"
            raise ValueError(f"{name}: expected a folder of save_pretrained, got {what}")
        return super().from_pretrained(name, **options)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, map_location: str = "cpu", **options: Any) -> Scorer:
        from rankiqa.models import pretrained  # imported late to avoid a circular import

        return pretrained.load(model_id, map_location, **options)


def check_input(model: Scorer, x: Tensor) -> None:
    """Raise ValueError unless a tensor is a valid input of a network: floating point (N, 3, crop, crop).

    A network's `forward` does not check its input, so that torch.compile, torch.export and fx see a plain loop.
    """
    crop = model.input_spec.crop
    if x.dim() != 4 or tuple(x.shape[1:]) != (3, crop, crop):
        raise ValueError(f"{model.arch} input: expected (N, 3, {crop}, {crop}), got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(f"{model.arch} input: expected floating point, got {x.dtype}")
