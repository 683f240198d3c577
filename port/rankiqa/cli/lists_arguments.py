"""The options of `rankiqa lists`."""

from __future__ import annotations

import argparse
from typing import Callable

from rankiqa.cli.arguments import SEED, int_in_range

# what the original calls its lists; its data layers look for these names
_FILES = {"rank-live": "live", "rank-tid2013": "tid2013", "ft-live": "ft_live", "ft-tid2013": "ft_tid2013"}
LISTS = {  # name: (help, the choices of --split, the first is the default)
    "rank-live": ("ranked set of 4 types and 5 levels, worst first", ("first", "random", "none")),
    "rank-tid2013": ("ranked set of 18 types and 4 levels, pristine first", ("first", "random", "none")),
    "ft-live": ("LIVE release 2 (DMOS)", ("random", "authors", "none")),
    "ft-tid2013": ("TID2013 (MOS)", ("random", "authors", "none")),
    "csiq": ("CSIQ (DMOS)", ("random", "none")),
    "mlive": ("LIVE Multiply Distorted (DMOS)", ("random", "none")),
    "kadid10k": ("KADID-10k (MOS, though its file says dmos)", ("random", "none")),
    "koniq10k": ("KonIQ-10k (MOS); no references: a split is by image", ("official", "random", "none")),
    "clive": ("LIVE In the Wild (MOS); no references: a split is by image", ("random", "none")),
    "spaq": ("SPAQ (MOS); no references: a split is by image", ("random", "none")),
    "csv": ("any table of images and scores: .csv, .tsv or .xlsx", ("random", "none")),
}
_SPLITS = {
    "first": "the first 80%% of the sorted images train (upstream; of Waterloo's 4,744 the authors' split)",
    "random": "by --seed, as upstream's numpy draws",
    "authors": "the references of the committed lists",
    "official": "the data set's own, with a validation list",
    "none": "one list of all",
}
_SPLIT_NAMES = {"all": "none"}  # --split all trains on a whole data set, to be tested on another


def add(commands, run: Callable[[argparse.Namespace], int]) -> None:
    """Add the command to an argument parser's commands; `run` runs it."""
    command = commands.add_parser(
        "lists",
        help="make the lists to train and test on",
        description="Write OUT/NAME_train.txt and OUT/NAME_test.txt, `path label` lines, and OUT/NAME_lists.json, "
        "which says what they are. A reference image and all that is made from it stay on one side. "
        "`rankiqa lists LIST --help` shows each list's options. Exit status: 0 written, 2 nothing was (options, data).",
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
            "folder", metavar="DIR", nargs="?", help="where the paths begin (default: the table's folder)"
        )
    else:
        parser.add_argument("folder", metavar="DIR", help="the folder of the data set")
    parser.add_argument("--out", required=True, metavar="OUT", help="where the lists go")
    parser.add_argument("--name", default=_FILES.get(name, name), help="of the lists (default %(default)s)")
    choices = "; ".join(f"{split}: {_SPLITS[split]}" for split in splits)
    parser.add_argument(
        "--split", choices=splits, default=splits[0], type=lambda text: _SPLIT_NAMES.get(text, text),
        help=f"{choices}, also called all (default %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=SEED, default=0, help="of numpy's RandomState (default 0)")
    parser.add_argument(
        "--train-references",
        type=int_in_range(1),
        metavar="N",
        help="number of reference images in the training list; the others go into the test list",
    )
    parser.add_argument("--prefix", metavar="TEXT", help="text before each path instead of DIR ('' for nothing)")
    parser.add_argument(
        "--decimals", type=int_in_range(0, 12), help="of a label (default upstream's 2, for other sets 4)"
    )
    parser.add_argument("--allow-partial", action="store_true", help="accept an incomplete data set")
    parser.add_argument("--json", action="store_true", help="print the content of OUT/NAME_lists.json")


def _add_ranked(parser: argparse.ArgumentParser, name: str) -> None:
    from rankiqa.datasets.ranked_types import SETS

    ranked = SETS[name]
    parser.add_argument(
        "--types", nargs="+", default=list(ranked.types), metavar="T", help="folders, in the list's order"
    )
    parser.add_argument(
        "--levels",
        type=int_in_range(1),
        default=ranked.levels,
        help="distorted levels of each type (default %(default)s; the data layers count the pristine images too)",
    )
    orders = ("worst-first", "pristine-first")
    parser.add_argument(
        "--order",
        choices=orders,
        default=orders[0 if ranked.worst_first else 1],
        help="the ranking: what comes first will score higher (default %(default)s, upstream's generator)",
    )
    parser.add_argument("--pristine", metavar="DIR2", help="the pristine images (default DIR/pristine_images)")
    parser.add_argument(
        "--level-names-from",
        metavar="DIR3",
        help="list DIR3/T for the names of the levels, as upstream's TID2013 generator does with the current folder",
    )


def _add_rated(parser: argparse.ArgumentParser, name: str) -> None:
    if name in ("csiq", "koniq10k", "spaq"):
        parser.add_argument("--labels", metavar="FILE", help="the labels' file (default: looked for in DIR)")
    if name == "csv":
        _add_table(parser)
    if name == "ft-live":
        parser.add_argument(
            "--labels",
            metavar="WHICH|FILE",
            help="authors (of RankIQA's lists: LIVE2_labels.mat), dmos (dmos.mat), realigned (dmos_realigned.mat), or "
            "a file; default: the first of these that DIR has",
        )
        parser.add_argument(
            "--authors-list",
            nargs="+",
            metavar="FILE",
            help="with --labels authors: read these, data/ft_live_train.txt and ft_live_test.txt of the authors' "
            "repository; an image that they do not name has no label",
        )
        parser.add_argument("--without-references", action="store_true", help="leave out the 203 images with DMOS 0")
        parser.add_argument(
            "--by-position", action="store_true", help="upstream's n-th name of a folder is image n; right if renamed"
        )
    if name == "ft-tid2013":
        parser.add_argument("--reference-25", action="store_true", help="take it too (upstream leaves it out)")
    if name == "koniq10k":
        parser.add_argument("--column", metavar="NAME", help="of the label (default MOS_zscore where it is, else MOS)")
        parser.add_argument("--images", metavar="FOLDER", help="the images' folder (default 1024x768 or 512x384)")


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--table", required=True, metavar="FILE", help="with a row an image, columns named in the first"
    )
    parser.add_argument("--image", required=True, metavar="COL", help="the column of the images' paths")
    parser.add_argument("--score", required=True, metavar="COL", help="the column of the scores")
    parser.add_argument("--higher", required=True, choices=("better", "worse"), help="what a higher score means")
    parser.add_argument("--reference", metavar="COL", help="the column of the image that each was made from")
    parser.add_argument("--type", metavar="COL", help="the column of the distortion's type")
    parser.add_argument("--sheet", metavar="NAME", help="of a workbook (default: the first)")
