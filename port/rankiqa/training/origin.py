"""What a training began with: a run that goes on from its snapshot must have it in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rankiqa.training.presets import flat

if TYPE_CHECKING:
    from rankiqa.training.trainer import Trainer


def origin_of(trainer: Trainer) -> dict[str, Any]:
    """Everything that the weights depend on, as JSON holds it."""
    lists = {phase: images and images.sha256 for phase, images in trainer.lists.items()}
    made = {phase: getattr(images, "settings", None) for phase, images in trainer.lists.items()}
    free = {"name", "source", "max_iter", "display", "snapshot"}  # change no weight that has been or will be made
    if trainer.recipe.ends_at_max_iter:
        free.remove("max_iter")
    return {
        "seed": trainer.seed,
        "lists": lists,
        "settings": {key: value for key, value in flat(trainer.preset).items() if key not in free},
        "quirks": asdict(trainer.quirks),
        "products": trainer.products and trainer.products.threads,
        "recipe": asdict(trainer.recipe),
        "distort": made,
    }


def differences(own: Mapping, theirs: Mapping, where: str = "") -> list[str]:
    """What differs between two origins, as far as both have it (older snapshots have less)."""
    if not isinstance(theirs, Mapping):
        return [f"{where}expected settings, got {theirs!r}"]
    found = []
    for key in own.keys() & theirs.keys():
        if isinstance(own[key], Mapping):
            found += differences(own[key], theirs[key], f"{where}{key} ")
        elif own[key] != theirs[key]:
            found.append(f"{where}{key}: expected {own[key]}, got {theirs[key]}")
    return sorted(found)
