"""The options of `rankiqa lists`."""

from __future__ import annotations

import argparse
from typing import Callable

from rankiqa.cli.arguments import SEED, int_in_range

# The original's names of its lists; its data layers expect these names.
_FILES = {"rank-live": "live", "rank-tid2013": "tid2013", "ft-live": "ft_live", "ft-tid2013": "ft_tid2013"}
LISTS = {  # name: (help, choices of --split; the first choice is the default)
    "rank-live": ("ranked set with 4 types and 5 levels, worst first", ("first", "random", "none")),
    "rank-tid2013": ("ranked set with 18 types and 4 levels, pristine first", ("first", "random", "none")),
    "ft-live": ("LIVE release 2 (DMOS)", ("random", "authors", "none")),
    "ft-tid2013": ("TID2013 (MOS)", ("random", "authors", "none")),
    "csiq": ("CSIQ (DMOS)", ("random", "none")),
    "mlive": ("LIVE Multiply Distorted (DMOS)", ("random", "none")),
    "kadid10k": ("KADID-10k (MOS, although its file calls it dmos)", ("random", "none")),
    "koniq10k": ("KonIQ-10k (MOS); no references, so splits are by image", ("official", "random", "none")),
    "clive": ("LIVE In the Wild (MOS); no references, so splits are by image", ("random", "none")),
    "spaq": ("SPAQ (MOS); no references, so splits are by image", ("random", "none")),
    "csv": ("any table of images and scores: .csv, .tsv or .xlsx", ("random", "none")),
}
_SPLITS = {
    "first": "the first 80%% of the sorted images are for training (upstream; for Waterloo's 4,744, the authors' "
    "split)",
    "random": "drawn by --seed, with numpy as upstream does",
    "authors": "the references of the lists in the authors' repository",
    "official": "the data set's own split, with a validation list",
    "none": "one list of all images",
}
_SPLIT_NAMES = {"all": "none"}  # --split all: train on a whole data set and test on another


def add(commands, run: Callable[[argparse.Namespace], int]) -> None:
    """Add the command to the subparsers `commands`. It calls `run`."""
    command = commands.add_parser(
        "lists",
        help="write the lists for training and testing",
        description="Write OUT/NAME_train.txt and OUT/NAME_test.txt with `path label` lines, and OUT/NAME_lists.json, "
        "which describes them. A reference image and all images made from it are on the same side of the split. "
        "`rankiqa "
        "lists LIST --help` shows the options of a list. Exit status: 0 written, 2 nothing written (wrong options or "
        "data).",
    )
    lists = command.add_subparsers(dest="list", required=True, metavar="LIST")
    for name, (text, splits) in LISTS.items():
        parser = lists.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        _add_common(parser, name, splits)
        if name.startswith("rank"):
            _add_ranked(parser, name)
        else:
            _add_rated(parser, name)
        parser.set_defaults(run=run)


def _add_common(parser: argparse.ArgumentParser, name: str, splits: tuple[str, ...]) -> None:
    if name == "csv":
        parser.add_argument(
            "folder", metavar="DIR", nargs="?", help="folder that the paths start from (default: the table's folder)"
        )
    else:
        parser.add_argument("folder", metavar="DIR", help="the folder of the data set")
    parser.add_argument("--out", required=True, metavar="OUT", help="folder of the lists")
    parser.add_argument("--name", default=_FILES.get(name, name), help="name of the lists (default %(default)s)")
    choices = "; ".join(f"{split}: {_SPLITS[split]}" for split in splits)
    parser.add_argument(
        "--split", choices=splits, default=splits[0], type=lambda text: _SPLIT_NAMES.get(text, text),
        help=f"{choices}; all is another name of none (default %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=SEED, default=0, help="seed of numpy's RandomState (default 0)")
    parser.add_argument(
        "--train-references",
        type=int_in_range(1),
        metavar="N",
        help="number of reference images in the training list; the others go into the test list",
    )
    parser.add_argument("--prefix", metavar="TEXT", help="text to put before each path instead of DIR ('' for nothing)")
    parser.add_argument(
        "--decimals", type=int_in_range(0, 12), help="decimals of a label (default: 2 as upstream, 4 for other sets)"
    )
    parser.add_argument("--allow-partial", action="store_true", help="accept an incomplete data set")
    parser.add_argument("--json", action="store_true", help="print the content of OUT/NAME_lists.json")


def _add_ranked(parser: argparse.ArgumentParser, name: str) -> None:
    from rankiqa.datasets.ranked_types import SETS

    ranked = SETS[name]
    parser.add_argument(
        "--types",
        nargs="+",
        default=list(ranked.types),
        metavar="T",
        help="folders of the distortion types, in the order of the list",
    )
    parser.add_argument(
        "--levels",
        type=int_in_range(1),
        default=ranked.levels,
        help="distorted levels of each type (default %(default)s; the data layers also count the pristine images as a "
        "level)",
    )
    orders = ("worst-first", "pristine-first")
    parser.add_argument(
        "--order",
        choices=orders,
        default=orders[0 if ranked.worst_first else 1],
        help="order of the ranking; what comes first will score higher (default %(default)s, as upstream's generator)",
    )
    parser.add_argument(
        "--pristine", metavar="DIR2", help="folder of the pristine images (default DIR/pristine_images)"
    )
    parser.add_argument(
        "--level-names-from",
        metavar="DIR3",
        help="take the names of the level folders from DIR3/T, as upstream's TID2013 generator takes them from the "
        "current folder",
    )


def _add_rated(parser: argparse.ArgumentParser, name: str) -> None:
    if name in ("csiq", "koniq10k", "spaq"):
        parser.add_argument("--labels", metavar="FILE", help="file of the labels (default: search DIR for it)")
    if name == "csv":
        _add_table(parser)
    if name == "ft-live":
        parser.add_argument(
            "--labels",
            metavar="WHICH|FILE",
            help="authors (the labels of RankIQA's lists: LIVE2_labels.mat), dmos (dmos.mat), realigned "
            "(dmos_realigned.mat), or "
            "a file; default: the first of these that DIR contains",
        )
        parser.add_argument(
            "--authors-list",
            nargs="+",
            metavar="FILE",
            help="with --labels authors: read the labels from these files, data/ft_live_train.txt and ft_live_test.txt "
            "of the authors' repository; other images have no label",
        )
        parser.add_argument(
            "--without-references", action="store_true", help="leave out the 203 copies of reference images (DMOS 0)"
        )
        parser.add_argument(
            "--by-position",
            action="store_true",
            help="take the n-th name of a folder as image n, as upstream does; for folders with renamed files",
        )
    if name == "ft-tid2013":
        parser.add_argument(
            "--reference-25", action="store_true", help="include reference image 25 (upstream leaves it out)"
        )
    if name == "koniq10k":
        parser.add_argument(
            "--column", metavar="NAME", help="column of the label (default: MOS_zscore if it exists, else MOS)"
        )
        parser.add_argument("--images", metavar="FOLDER", help="folder of the images (default 1024x768 or 512x384)")


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--table",
        required=True,
        metavar="FILE",
        help="table with one row per image and the names of the columns in the first row",
    )
    parser.add_argument("--image", required=True, metavar="COL", help="column of the image paths")
    parser.add_argument("--score", required=True, metavar="COL", help="column of the scores")
    parser.add_argument("--higher", required=True, choices=("better", "worse"), help="what a higher score means")
    parser.add_argument("--reference", metavar="COL", help="column of the reference image")
    parser.add_argument("--type", metavar="COL", help="column of the distortion type")
    parser.add_argument("--sheet", metavar="NAME", help="sheet of a workbook (default: the first)")
