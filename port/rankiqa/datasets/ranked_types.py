"""What upstream's two ranked sets are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RankedSet:
    """types: in the list's order. levels: distorted ones. worst_first: else the pristine images come first."""

    name: str
    types: tuple[str, ...]
    levels: int
    worst_first: bool


# UPSTREAM: LIVE runs from the worst to the pristine, so scores rise with degradation; TID2013 the other way
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
