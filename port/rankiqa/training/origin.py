"""The origin of a training run: its inputs and settings, which a resumed run must share with its snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rankiqa.models.weights import digest
from rankiqa.training.presets import flat

if TYPE_CHECKING:
    from rankiqa.training.trainer import Trainer


def origin_of(trainer: Trainer) -> dict[str, Any]:
    """Return everything that determines the weights, as JSON values."""
    lists = {phase: images and images.sha256 for phase, images in trainer.lists.items()}
    distort = {phase: getattr(images, "settings", None) for phase, images in trainer.lists.items()}
    free = {"name", "source", "max_iter", "display", "snapshot"}  # these settings do not change the weights
    if trainer.recipe.ends_at_max_iter:
        free.remove("max_iter")
    return {
        "seed": trainer.seed,
        "lists": lists,
        "settings": {key: value for key, value in flat(trainer.preset).items() if key not in free},
        "quirks": asdict(trainer.quirks),
        "products": trainer.products and trainer.products.threads,
        "recipe": asdict(trainer.recipe),
        "distort": distort,
    }


def differences(own: Mapping, theirs: Mapping, where: str = "") -> list[str]:
    """Describe the differences of two origins in the entries that both contain (older snapshots have fewer entries)."""
    if not isinstance(theirs, Mapping):
        return [f"{where}expected settings, got {theirs!r}"]
    lines = []
    for key in own.keys() & theirs.keys():
        if isinstance(own[key], Mapping):
            lines += differences(own[key], theirs[key], f"{where}{key} ")
        elif own[key] != theirs[key]:
            lines.append(f"{where}{key}: expected {own[key]}, got {theirs[key]}")
    return sorted(lines)


def check_alike(trainer: Trainer) -> None:
    """Raise ValueError unless all ranks start at the same iteration with the same origin and weights.

    Each rank reads lists and snapshot by itself, so ranks on machines without a shared folder could start differently.
    """
    if trainer.share is None:
        return
    own = {"iteration": trainer.iteration, **origin_of(trainer), "weights": digest(trainer.model)}
    first, *others = trainer.share.gather_objects(own)
    for rank, theirs in enumerate(others, start=1):
        if different := differences(first, theirs):
            raise ValueError(
                f"expected ranks that start alike (--out and lists in shared folders), got rank {rank} with "
                f"another {'; '.join(different)}"
            )
