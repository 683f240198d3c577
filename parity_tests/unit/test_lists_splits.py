"""`rankiqa lists`: no two sides share a reference, in random, official and authors' splits."""

import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from lib.lists_command import READERS, lines
from rankiqa.datasets import koniq10k, live, splits
from rankiqa.datasets.ranked_types import SETS


def reference_of(name, path):
    """Return the reference image that the path of a line names."""
    folder, file = os.path.split(path)
    if name == "ft-live":
        info = (Path(folder) / "info.txt").read_text().split()
        return info[info.index(file) - 1]
    if name == "ft-tid2013":
        return int(file[1:3])
    if name == "mlive":
        return file.split("_")[0]
    return file[:3] if name == "kadid10k" else file.split(".")[0]


@pytest.mark.parametrize("name", ["csiq", "mlive", "kadid10k", "ft-tid2013", "ft-live", "rank-live", "rank-tid2013"])
@pytest.mark.parametrize("seed", [0, 4294967295])
def test_no_reference_is_on_both_sides(make_lists, name, seed):
    summary = make_lists(name, "--seed", seed, "--split", "random")

    def references_of(lines_of_side):
        return {reference_of(name, line.split()[0]) for line in lines_of_side}

    references = {side: references_of(lines(summary, side)) for side in summary["files"]}
    assert references["train"] and references["test"] and not references["train"] & references["test"]
    assert {side: len(names) for side, names in references.items()} == {
        side: len(names) for side, names in summary["references"].items()
    }
    mixed = np.random.RandomState(seed).permutation(lines(summary, "train") + lines(summary, "test"))
    first, rest = mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]  # a split by file, which would share references
    assert references_of(first) & references_of(rest)


@pytest.mark.parametrize("name", READERS)
def test_sides_share_nothing_for_many_seeds(data_set, name):
    """Each image is on one side, all images of a reference are on the same side, and seeds give different splits."""
    whole = READERS[name].read(str(data_set(name)))
    references = sorted({item.reference for item in whole.items})
    seen = set()
    for seed in range(20 if name in ("koniq10k", "spaq") else 200):
        random = np.random.RandomState(seed)
        sides = splits.choose(references, "random", random, train=len(references) * 4 // 5)
        images = getattr(READERS[name], "arranged", splits.arranged)(sides, whole, random) if seed < 3 else None
        if images:
            side_of = {item.path: side for side, chosen in images.items() for item in chosen}
            assert len(side_of) == sum(map(len, images.values())) == len(whole.items)
            places = defaultdict(set)
            for item in whole.items:
                places[item.reference].add(side_of[item.path])
            assert all(len(place) == 1 for place in places.values())
        assert not set(sides["train"]) & set(sides["test"])
        assert sorted(sides["train"] + sides["test"]) == references
        seen.add(tuple(sorted(sides["test"])))
    assert len(seen) > 10


def test_the_authors_splits(make_lists):
    summary = make_lists("ft-tid2013", "--split", "authors")
    assert summary["references"]["test"] == ["4", "11", "13", "17", "19"]
    assert [len(lines(summary, side)) for side in ("train", "test")] == [2280, 600]
    summary = make_lists("ft-live", "--split", "authors", "--seed", 9)
    assert sorted(summary["references"]["test"]) == ["lighthouse", "sailing1", "sailing3", "statue", "stream", "woman"]
    assert sorted(name for side in summary["references"].values() for name in side) == sorted(live.REFERENCES)


def test_koniq10k_has_its_official_split(make_lists, data_set):
    summary = make_lists("koniq10k")
    assert {side: file["lines"] for side, file in summary["files"].items()} == koniq10k.OFFICIAL
    assert summary["split"] == {"by": "image: there are no references", "choice": "official", "seed": 0}
    rows = (data_set("koniq10k") / koniq10k.LABELS[0]).read_text().splitlines()[1:]
    test = {row.split(",")[0] for row in rows if row.endswith(",test")}
    assert {Path(line.split()[0]).name for line in lines(summary, "test")} == test
    random = make_lists("koniq10k", "--split", "random")
    assert {side: file["lines"] for side, file in random["files"].items()} == {"train": 8058, "test": 2015}
    assert not set(lines(random, "train")) & set(lines(random, "test"))


def test_a_split_leaves_no_list_of_an_earlier_one(make_lists, tmp_path):
    (tmp_path / "koniq10k_notes.txt").write_text("mine")
    make_lists("koniq10k")
    assert (tmp_path / "koniq10k_validation.txt").exists()
    make_lists("koniq10k", "--split", "none")
    assert sorted(os.listdir(tmp_path)) == ["koniq10k_all.txt", "koniq10k_lists.json", "koniq10k_notes.txt"]


def test_all_in_one_list(make_lists):
    for name in SETS | READERS:
        summary = make_lists(name, "--split", "none", "--seed", 1)
        assert list(summary["files"]) == ["all"]
        together, lists = lines(summary, "all"), make_lists(name)
        assert sorted(together) == sorted(line for side in lists["files"] for line in lines(lists, side))
