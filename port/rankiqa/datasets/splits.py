"""Assign references to training and test. A split is by reference image: all images made from one are on one side."""

from __future__ import annotations

from collections.abc import Sequence

from rankiqa.datasets.data_set import Rated, RatedSet

ALL = "all"


def choose(
    references: Sequence[str],
    choice: str,
    random,
    *,
    train: int,
    authors: dict[str, list[str]] | None = None,
    official: dict[str, str] | None = None,
) -> dict[str, list[str]]:
    """Split the references of a data set.

    Args:
        references: The names of the references.
        choice: random (the first `train` of a permutation), authors, official (the data set's own), first (the first
            `train` in order) or none (one side, "all").
        random: A numpy RandomState.
        train: The number of training references.
        authors: {side: references} of the authors' lists, if there are any.
        official: {reference: side} of the data set's own split, if it has one.

    Returns:
        {side: references in the order of the split}.

    Raises:
        ValueError: A side would be empty, or the data set has no such split.
    """
    order = [references[int(i)] for i in random.permutation(len(references))]  # always drawn, to advance `random`
    if choice == "none":
        return {ALL: list(references)}
    if choice == "official":
        if official is None:
            raise ValueError("--split official: expected a labels' file with the official split, got one without")
        sides: dict[str, list[str]] = {side: [] for side in ("train", "validation", "test")}
        for name in references:
            sides[official[name]].append(name)
    elif choice == "authors":
        if authors is None:
            raise ValueError("--split authors: expected a data set with lists in the authors' repository, got another")
        present = set(references)
        known = {name for chosen in authors.values() for name in chosen}
        sides = {side: [name for name in chosen if name in present] for side, chosen in authors.items()}
        sides["train"] += [name for name in references if name not in known]
    else:
        if len(references) < 2:
            raise ValueError(f"expected at least 2 references to split, got {len(references)} (--split none)")
        if not 1 <= train < len(references):
            raise ValueError(f"expected 1..{len(references) - 1} train references of {len(references)}, got {train}")
        order = order if choice == "random" else list(references)
        sides = {"train": order[:train], "test": order[train:]}
    empty = [side for side, chosen in sides.items() if not chosen]
    if empty:
        raise ValueError(f"--split {choice}: expected references on each side, got none for {' and '.join(empty)}")
    return sides


def train_count(present: int, complete: int, train: int | None) -> int:
    """Return the default number of training references: the set's own or 80%; in proportion for an incomplete set."""
    if train is not None:
        return train if present == complete else max(1, present * train // complete)
    return int(present * 0.8)


def arranged(sides: dict[str, list[str]], rated_set: RatedSet, random=None) -> dict[str, list[Rated]]:
    """Return the images of each side, in the order in which they were read."""
    return {
        side: [item for item in rated_set.items if item.reference in wanted]
        for side, wanted in ((side, set(chosen)) for side, chosen in sides.items())
    }
