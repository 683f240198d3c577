"""The types and levels of upstream's two ranked sets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RankedSet:
    """A ranked set.

    `types` are in the order of the list, `levels` counts the distorted ones, `worst_first` is its order.
    """

    name: str
    types: tuple[str, ...]
    levels: int
    worst_first: bool


# UPSTREAM: LIVE's list starts with the worst level, so scores rise with degradation; TID2013's is the other way round.
SETS = {
    "rank-live": RankedSet("rank-live", ("JPEG", "GN", "GB", "JP2K"), 5, True),
    "rank-tid2013": RankedSet(
        "rank-tid2013",
        (
            "JPEG", "GN", "GB", "JP2K", "GNC", "MSL", "MSH", "CCL", "CCH",
            "IN", "ID", "BW", "NEPN", "QN", "CA", "CS", "MGN", "CQD",
        ),
        4,
        False,
    ),
}  # fmt: skip
