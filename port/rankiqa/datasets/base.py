"""What the readers share: what a data set is, its rated images, and the checks that every one of them passes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rankiqa.data.text_files import number

SHOWN = 5  # names that a message gives of many


@dataclass(frozen=True)
class DataSet:
    """A data set of rated images.

    Attributes:
        name: As `rankiqa lists` has it.
        title: As people call it.
        home: Where people get it.
        layout: What its folder holds.
        measure: MOS (higher is better) or DMOS (lower is better).
        low: The least label.
        high: The greatest label.
        images: How many it has.
        references: How many images they were made from.
        decimals: Of a label in a list.
        train: References on the train side of a split by seed; None: 80%.
        by_image: It has no references; each image counts as its own.
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
        """An error on one line that also says what the data set looks like and where people get it."""
        return ValueError(f"{where}: expected {expected}, got {got}; {self._hint}")

    @property
    def _hint(self) -> str:
        return f"{self.title}: {self.layout}; see {self.home}"

    def number(self, text: object, where: str) -> float:
        """A label of this data set from its text. Raises ValueError as `wrong` words it."""
        try:
            return number(text, where)
        except ValueError as error:
            raise ValueError(f"{error}; {self._hint}") from None


@dataclass(frozen=True)
class Rated:
    """An image of a list.

    Attributes:
        path: Below the data set's folder.
        label: Its MOS or DMOS.
        reference: The image that it was made from.
        kind: Of the distortion; "" where it is not named.
        level: Of the distortion; 0 where it is not named.
        copy: It is the reference itself.
    """

    path: str
    label: float
    reference: str
    kind: str = ""
    level: int = 0
    copy: bool = False


@dataclass
class RatedSet:
    """The rated images of a data set, as its reader gives them.

    Attributes:
        dataset: What the data set should be.
        items: The images in the order of the data set's files.
        missing: Images that the data set's files name and that do not exist.
        remarks: For the summary.
        official: {reference: side}, where the data set brings its own split.
        labels: Which labels were read, where a data set has several.
    """

    dataset: DataSet
    items: list[Rated]
    missing: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    official: dict[str, str] | None = None
    labels: dict | None = None


def some(names: Iterable[str]) -> str:
    """The first few of many names, for a message."""
    names = list(names)
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def checked(rated_set: RatedSet, partial: bool) -> RatedSet:
    """Check that the rated images are what the data set should be.

    Args:
        rated_set: As a reader gives it.
        partial: Whether a part of the data set will do.

    Returns:
        The same, with a remark about images that are missing.

    Raises:
        ValueError: For missing images, counts, labels out of range, images that come twice, or labels that run the
            wrong way.
    """
    dataset, items = rated_set.dataset, rated_set.items
    if rated_set.missing and not partial:
        missing, total = rated_set.missing, len(items) + len(rated_set.missing)
        got = f"{len(missing)} of {total} missing: {some(missing)}; --allow-partial goes on without them"
        raise dataset.wrong(dataset.name, f"all {dataset.images} images", got)
    if rated_set.missing:
        rated_set.remarks.append(f"{len(rated_set.missing)} images are missing and left out: {some(rated_set.missing)}")
    if not items:
        raise dataset.wrong(dataset.name, f"{dataset.images} images", "none")
    for item in items:
        if not math.isfinite(item.label) or not dataset.low <= item.label <= dataset.high:
            limits = f"a {dataset.measure} of {dataset.low:g}..{dataset.high:g} ({dataset.direction})"
            raise dataset.wrong(item.path, limits, f"{item.label:g}")
    twice = [path for path, times in Counter(item.path for item in items).items() if times > 1]
    if twice:
        raise dataset.wrong(dataset.name, "each image once", f"twice: {some(twice)}")
    references = len({item.reference for item in items})
    if not partial and (len(items), references) != (dataset.images, dataset.references):
        expected = f"{dataset.images} images of {dataset.references} references"
        got = f"{len(items)} images of {references}; --allow-partial takes a part"
        raise dataset.wrong(dataset.name, expected, got)
    if len(items) > dataset.images or references > dataset.references:
        expected = f"at most {dataset.images} images of {dataset.references} references"
        raise dataset.wrong(dataset.name, expected, f"{len(items)} images of {references}")
    _check_direction(dataset, items)
    return rated_set


def _check_direction(dataset: DataSet, items: Sequence[Rated]) -> None:
    """Strong distortion must not look clearly better than mild, as it does when a DMOS is taken for a MOS."""
    mildest, strongest = {}, {}
    for item in items:
        if item.level:
            key = (item.reference, item.kind)
            mildest[key] = min(mildest.get(key, item), item, key=lambda version: version.level)
            strongest[key] = max(strongest.get(key, item), item, key=lambda version: version.level)
    pairs = [(mildest[key], strongest[key]) for key in mildest if mildest[key].level < strongest[key].level]
    if len(pairs) < 20:  # too few to tell
        return
    rise = sum(strong.label - mild.label for mild, strong in pairs) / len(pairs)
    worse = rise if dataset.measure == "DMOS" else -rise
    if worse < -0.1 * (dataset.high - dataset.low):
        expected = f"a {dataset.measure}, {dataset.direction}"
        got = f"labels that change by {rise:+.3g} from the mildest to the strongest level, as if the other way round"
        raise dataset.wrong(dataset.name, expected, got)
