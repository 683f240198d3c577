"""The common parts of the readers: the description of a data set, its rated images, and checks for all data sets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rankiqa.data.text_files import number

SHOWN = 5  # number of names that a message lists


@dataclass(frozen=True)
class DataSet:
    """A data set of rated images.

    Attributes:
        name: The name in `rankiqa lists`.
        title: The usual name.
        home: The web page that offers it.
        layout: The content of its folder.
        measure: MOS (higher is better) or DMOS (lower is better).
        low: The smallest label.
        high: The largest label.
        images: The number of images.
        references: The number of reference images.
        decimals: The decimals of a label in a list.
        train: The number of training references in a random split; None: 80%.
        by_image: Whether the set has no references, so that each image counts as its own.
    """

    name: str
    title: str
    home: str
    layout: str
    measure: str
    low: float
    high: float
    images: int
    references: int
    decimals: int = 4
    train: int | None = None
    by_image: bool = False

    @property
    def direction(self) -> str:
        return "lower is better" if self.measure == "DMOS" else "higher is better"

    def wrong(self, where: object, expected: str, got: str) -> ValueError:
        """Return an error on one line, which also describes the data set's layout and its web page."""
        return ValueError(f"{where}: expected {expected}, got {got}; {self._hint}")

    @property
    def _hint(self) -> str:
        return f"{self.title}: {self.layout}; see {self.home}"

    def number(self, text: object, where: str) -> float:
        """Return a label from its text. Raise ValueError with a hint on the data set."""
        try:
            return number(text, where)
        except ValueError as error:
            raise ValueError(f"{error}; {self._hint}") from None


@dataclass(frozen=True)
class Rated:
    """An image of a list.

    Attributes:
        path: The path below the folder of the data set.
        label: Its MOS or DMOS.
        reference: Its reference image.
        kind: The distortion type; "" if unknown.
        level: The distortion level; 0 if unknown.
        copy: Whether the image is the reference itself.
    """

    path: str
    label: float
    reference: str
    kind: str = ""
    level: int = 0
    copy: bool = False


@dataclass
class RatedSet:
    """The rated images of a data set, as read by its reader.

    Attributes:
        dataset: The description of the data set.
        items: The images in the order of the data set's files.
        missing: Images that the data set's files name but that do not exist.
        remarks: Remarks for the summary.
        official: {reference: side}, if the data set has its own split.
        labels: The labels that were read, if a data set has several sets of them.
    """

    dataset: DataSet
    items: list[Rated]
    missing: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    official: dict[str, str] | None = None
    labels: dict | None = None


def some(names: Iterable[str]) -> str:
    """Return the first few names as a text for a message."""
    names = list(names)
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def checked(rated_set: RatedSet, partial: bool) -> RatedSet:
    """Check that the rated images match the description of the data set.

    Args:
        rated_set: The images from a reader.
        partial: Whether to accept an incomplete data set.

    Returns:
        The same object, with a remark about missing images.

    Raises:
        ValueError: Missing images, other counts, labels out of range, repeated images, or labels in the wrong
            direction.
    """
    dataset, items = rated_set.dataset, rated_set.items
    if rated_set.missing and not partial:
        missing, total = rated_set.missing, len(items) + len(rated_set.missing)
        got = f"{len(missing)} of {total} missing: {some(missing)}; --allow-partial leaves them out"
        raise dataset.wrong(dataset.name, f"all {dataset.images} images", got)
    if rated_set.missing:
        rated_set.remarks.append(f"{len(rated_set.missing)} images are missing and left out: {some(rated_set.missing)}")
    if not items:
        raise dataset.wrong(dataset.name, f"{dataset.images} images", "none")
    for item in items:
        if not math.isfinite(item.label) or not dataset.low <= item.label <= dataset.high:
            limits = f"a {dataset.measure} of {dataset.low:g}..{dataset.high:g} ({dataset.direction})"
            raise dataset.wrong(item.path, limits, f"{item.label:g}")
    repeated = [path for path, times in Counter(item.path for item in items).items() if times > 1]
    if repeated:
        raise dataset.wrong(dataset.name, "each image once", f"twice: {some(repeated)}")
    references = len({item.reference for item in items})
    if not partial and (len(items), references) != (dataset.images, dataset.references):
        expected = f"{dataset.images} images of {dataset.references} references"
        got = f"{len(items)} images of {references}; --allow-partial accepts it"
        raise dataset.wrong(dataset.name, expected, got)
    if len(items) > dataset.images or references > dataset.references:
        expected = f"at most {dataset.images} images of {dataset.references} references"
        raise dataset.wrong(dataset.name, expected, f"{len(items)} images of {references}")
    _check_direction(dataset, items)
    return rated_set


def _check_direction(dataset: DataSet, items: Sequence[Rated]) -> None:
    """Check that strong distortion is not clearly better than mild, as it would be if a DMOS were taken for a MOS."""
    mildest, strongest = {}, {}
    for item in items:
        if item.level:
            key = (item.reference, item.kind)
            mildest[key] = min(mildest.get(key, item), item, key=lambda version: version.level)
            strongest[key] = max(strongest.get(key, item), item, key=lambda version: version.level)
    pairs = [(mildest[key], strongest[key]) for key in mildest if mildest[key].level < strongest[key].level]
    if len(pairs) < 20:  # too few to decide
        return
    rise = sum(strong.label - mild.label for mild, strong in pairs) / len(pairs)
    worse = rise if dataset.measure == "DMOS" else -rise
    if worse < -0.1 * (dataset.high - dataset.low):
        expected = f"a {dataset.measure}, {dataset.direction}"
        got = (
            f"labels that change by {rise:+.3g} from the mildest to the strongest level, as if the direction were "
            f"reversed"
        )
        raise dataset.wrong(dataset.name, expected, got)
