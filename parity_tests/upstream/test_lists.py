"""Upstream's four list generators, run in the container, against `rankiqa lists` with the same folders and seed.

The authors' committed lists are compared, too. The error is the number of lines that differ; none may.
"""

from itertools import zip_longest

import look_alikes
import numpy as np
import pytest
import run_original

from caffe_client import IMAGE
from rankiqa.cli import main
from rankiqa.datasets import live as live_set
from rankiqa.datasets import tid2013

SIDE = 16  # small: generators never open an image, but generate_ft_txt_live.py copies the test images
AUTHOR = "/home/xialei/Project/CleanProject/Camera-ready-code/data/live"
RANDOM = {"ft_live": "generate_ft_txt_live.py", "ft_tid2013": "generate_ft_txt_tid2013.py"}
RANKED = {"live": "generate_rank_txt_live.py", "tid2013": "../generate_rank_txt_tid2013.py"}
SIDES = ("train", "test")


@pytest.fixture(scope="module")
def root(live, checkout, tmp_path_factory):
    """Return root with small data sets; one type of each ranked set has a level more than upstream uses."""
    root = tmp_path_factory.mktemp("lists")
    data = look_alikes.layout(root, checkout)
    assert run_original.run(IMAGE, root, "upstream_data").status == 0
    look_alikes.rank_live(data, images=11, side=SIDE)
    look_alikes.rank_tid2013(data, images=6, side=SIDE)
    look_alikes.tid2013(data, side=SIDE)
    look_alikes.live(data, side=SIDE)
    for folder, kind, level, images in (("rank_live", "GN", 6, 11), ("rank_tid2013", "CS", 5, 6)):
        for n in range(images):
            image = look_alikes.degraded(look_alikes.photograph(n, SIDE), level, [n, level])
            look_alikes.save(data / folder / kind / f"{kind}{level}" / f"{n:05}.bmp", image)
    return root


def generated(root, script, lists, folder="data", **variables):
    """Run upstream's script; return {side: lines} of its lists."""
    result = run_original.run(IMAGE, root, "python", script, folder=folder, **variables)
    assert result.status == 0, str(result)
    return {side: (root / folder / f"{lists}_{side}.txt").read_text().splitlines() for side in SIDES}


@pytest.fixture
def ours(root, tmp_path, monkeypatch):
    """Return ours(list, folder, *options) -> {side: lines}, which runs in the folder where upstream's paths start."""
    monkeypatch.chdir(root)

    def make(*options):
        assert main(["lists", *map(str, options), "--out", str(tmp_path), "--name", "ours"]) == 0
        return {side: (tmp_path / f"ours_{side}.txt").read_text().splitlines() for side in SIDES}

    return make


def differing(one, other):
    """Count the lines of two lists that differ, position by position."""
    return sum(a != b for side in SIDES for a, b in zip_longest(one[side], other[side]))


@pytest.mark.parametrize("seed", [3, 11, 1701])
def test_ft_tid2013(root, ours, parity, seed):
    theirs = generated(root, RANDOM["ft_tid2013"], "ft_tid2013", CAFFE_SEED=seed)
    options = ("ft-tid2013", "./data/tid2013", "--prefix", "data/tid2013", "--allow-partial")  # one level of five
    result = ours(*options, "--seed", seed)
    assert [len(result[side]) for side in SIDES] == [19 * 24, 5 * 24]
    parity.check("lists", f"ft tid2013, seed {seed}", differing(theirs, result), 0)
    parity.must_fail(
        "lists", f"wrong: ft tid2013, seed {seed + 1}", differing(theirs, ours(*options, "--seed", seed + 1)), 0
    )
    wrong = ours(*options, "--seed", seed, "--reference-25")
    parity.must_fail("lists", f"wrong: ft tid2013 with reference 25, seed {seed}", differing(theirs, wrong), 0)


@pytest.mark.parametrize("seed", [3, 11, 1701])
def test_ft_live(root, ours, parity, seed):
    theirs = generated(root, RANDOM["ft_live"], "ft_live", CAFFE_SEED=seed)
    options = ("ft-live", "data/live", "--prefix", AUTHOR)
    result = ours(*options, "--seed", seed)
    assert sum(len(result[side]) for side in SIDES) == 982
    parity.check("lists", f"ft live, seed {seed}", differing(theirs, result), 0)
    by_position = ours(*options, "--seed", seed, "--by-position")
    parity.check("lists", f"ft live by position, seed {seed}", differing(theirs, by_position), 0)
    parity.must_fail(
        "lists", f"wrong: ft live, seed {seed + 1}", differing(theirs, ours(*options, "--seed", seed + 1)), 0
    )
    wrong = ours(*options, "--seed", seed, "--without-references")
    parity.must_fail("lists", f"wrong: ft live without references, seed {seed}", differing(theirs, wrong), 0)
    lines = sorted(theirs["train"] + theirs["test"])
    order = np.random.RandomState(seed).permutation(len(lines))
    cut = len(theirs["train"])
    by_file = {"train": [lines[i] for i in order[:cut]], "test": [lines[i] for i in order[cut:]]}
    parity.must_fail(
        "lists", f"wrong: ft live split by file, seed {seed}", len(set(by_file["test"]) - set(theirs["test"])), 0
    )


@pytest.mark.parametrize("name", RANKED)
def test_rank(root, ours, parity, name):
    """One of the types has a level more than the lists use."""
    folder = f"data/rank_{name}"
    where = folder if name == "tid2013" else "data"
    theirs = generated(root, RANKED[name], name, folder=where)
    given = folder if name == "tid2013" else f"./{folder}"
    result = ours(f"rank-{name}", given)
    parity.check("lists", f"rank {name}", differing(theirs, result), 0)
    other = "pristine-first" if name == "live" else "worst-first"
    parity.must_fail(
        "lists", f"wrong: rank {name} {other}", differing(theirs, ours(f"rank-{name}", given, "--order", other)), 0
    )
    fewer = ours(f"rank-{name}", given, "--levels", 3)
    parity.must_fail("lists", f"wrong: rank {name} with 3 levels", differing(theirs, fewer), 0)
    drawn = ours(f"rank-{name}", given, "--split", "random")
    parity.must_fail("lists", f"wrong: rank {name}, images not sorted", differing(theirs, drawn), 0)
    if name == "tid2013":
        named = ours("rank-tid2013", given, "--level-names-from", folder)
        parity.check("lists", "rank tid2013, levels named by the current folder", differing(theirs, named), 0)


def committed(checkout, name):
    """Return {side: [(folder/file, label as written)]} of a committed list."""
    result = {}
    for side in SIDES:
        rows = [line.split() for line in (checkout / "data" / f"{name}_{side}.txt").read_text().splitlines()]
        result[side] = [("/".join(path.split("/")[-2:]), label) for path, label in rows]
    return result


def shown(lines):
    """Return [(folder/file, label as written)] of lines of our list."""
    return [("/".join(line.split()[0].split("/")[-2:]), line.split()[1]) for line in lines]


def test_the_authors_tid2013_split(checkout, ours, parity, tmp_path):
    theirs = committed(checkout, "ft_tid2013")
    assert [len(theirs[side]) for side in SIDES] == [2280, 600]
    rows = sorted(theirs["train"] + theirs["test"])
    rows += [(f"distorted_images/i25_{kind:02}_{level}.bmp", "3.00") for kind in range(1, 25) for level in range(1, 6)]
    folder = tmp_path / "tid2013"
    (folder / "distorted_images").mkdir(parents=True)
    for path, _ in rows:
        (folder / path).touch()
    (folder / "mos_with_names.txt").write_text("".join(f"{label} {path.split('/')[1]}\n" for path, label in rows))
    result = ours("ft-tid2013", folder, "--split", "authors")
    for side in SIDES:
        error = len(set(theirs[side]) ^ set(shown(result[side]))) + abs(len(theirs[side]) - len(result[side]))
        parity.check("lists", f"the authors' TID2013 split, {side}", error, 0)
    wrong = ours("ft-tid2013", folder, "--seed", 1)
    error = len(set(theirs["test"]) ^ set(shown(wrong["test"])))
    parity.must_fail("lists", "wrong: TID2013 split by a seed", error, 0)
    assert {int(path[18:20]) for path, _ in theirs["test"]} == set(map(int, tid2013.AUTHORS["test"]))


def test_the_authors_live_split(checkout, ours, parity, tmp_path):
    """The authors' committed lists are equal line by line.

    Only LIVE's own files say which reference each image was made from. Here info.txt assigns each side's images to the
    side's references in turn. The test therefore checks numbers, labels, sides, counts and order, but not the names of
    the references.
    """
    theirs = committed(checkout, "ft_live")
    assert [len(theirs[side]) for side in SIDES] == [779, 203]
    folder = tmp_path / "live"
    for kind in live_set.FOLDERS:
        (folder / kind).mkdir(parents=True)
        info = []
        for side in SIDES:
            images = [path.split("/")[1] for path, _ in theirs[side] if path.startswith(f"{kind}/")]
            for references, names in zip(live_set.AUTHORS[side], np.array_split(images, len(live_set.AUTHORS[side]))):
                info += [f"{references}.bmp img{int(name[3:-4])}.bmp 0\n" for name in names]
            for name in images:
                (folder / kind / name).touch()
        (folder / kind / "info.txt").write_text("".join(info))
    labels = checkout / "data" / "LIVE2_labels.mat"
    result = ours("ft-live", folder, "--split", "authors", "--labels", labels)
    for side in SIDES:
        error = sum(a != b for a, b in zip_longest(theirs[side], shown(result[side])))
        parity.check("lists", f"the authors' LIVE split, {side}", error, 0)
    wrong = ours("ft-live", folder, "--seed", 1, "--labels", labels)
    error = len(set(theirs["test"]) ^ set(shown(wrong["test"])))
    parity.must_fail("lists", "wrong: LIVE split by a seed", error, 0)


@pytest.mark.parametrize(
    "committed_list, options",
    [
        ("live_test", ("rank-live", "--order", "pristine-first")),  # the committed generator has another order
        ("tid2013_test", ("rank-tid2013", "--levels", "5")),  # a level more than the data layer uses
    ],
)
def test_the_committed_rank_lists(checkout, live, parity, tmp_path, committed_list, options):
    """With these options the lists that the authors used, of the last 949 of Waterloo's 4,744 images, are equal."""
    theirs = (
        (checkout / "data" / f"{committed_list}.txt")
        .read_text()
        .replace("/home/xialei/Project/CleanProject/New_ranking/", "")
    )
    paths = {line.split()[0] for line in theirs.splitlines()}
    for folder in {path.rpartition("/")[0] for path in paths}:
        (tmp_path / "ranked" / folder).mkdir(parents=True)
    for path in paths:
        (tmp_path / "ranked" / path).touch()
    name, *rest = options
    common = (str(tmp_path / "ranked"), "--out", str(tmp_path), "--name", "ours", "--prefix", "", "--split", "none")
    for chosen, check in ((rest, parity.check), ([], parity.must_fail)):
        assert main(["lists", name, *common, *chosen]) == 0
        result = (tmp_path / "ours_all.txt").read_text().splitlines()
        error = sum(a != b for a, b in zip_longest(theirs.splitlines(), result))
        check("lists", f"{'' if chosen else 'wrong: '}committed {committed_list} {' '.join(chosen)}", error, 0)
    names = sorted(path.name for path in (tmp_path / "ranked" / "pristine_images").iterdir())
    assert (len(names), names[0], names[-1]) == (4744 - int(4744 * 0.8), "03796.bmp", "04744.bmp")


def test_references_are_upstreams(checkout):
    """The reference names, which a seed permutes, have the order of ref.txt."""
    names = (checkout / "data" / "ref.txt").read_text().split()
    assert [f"{name}.bmp" for name in live_set.REFERENCES] == names
    assert sorted(live_set.AUTHORS["train"] + live_set.AUTHORS["test"]) == sorted(live_set.REFERENCES)
