"""The options of `rankiqa train` and `rankiqa finetune`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rankiqa.cli import arguments
from rankiqa.data.json_text import parse_json
from rankiqa.models.architectures import ARCHITECTURES
from rankiqa.training import recipe
from rankiqa.training.presets import PRESETS, FineTunePreset, Preset, RankPreset

if TYPE_CHECKING:
    from rankiqa.training.tasks import Source

LAST, LATEST = "", "latest"  # of --resume: the last snapshot, which must exist; the same, or a new training
DEFAULT_ARCH = "vgg16"
LIBRARIES = ("timm", "torchvision")
OWN = (*sorted(ARCHITECTURES), "efficientnet_lite0")  # the registry's names, without torch
DESCRIPTION = (
    "Train as the original does; the same seed gives the same training in Caffe. The options under `new experiments` "
    "depart from that. Writes OUT/log.txt, OUT/settings.json and OUT/PRESET_iter_N.safetensors. After SIGINT, SIGTERM "
    "or SIGHUP, or an image that cannot be read, a snapshot is written and the training ends; --resume continues it, "
    "bit for bit. Exit status: 0 trained, 1 stopped or failed during the training, 2 not started (wrong options, "
    "lists, images or weights)."
)


def add(commands, run: Callable[[argparse.Namespace], int]) -> None:
    """Add `train` and `finetune` to an argument parser's commands."""
    fine_tuning = {name for name, preset in PRESETS.items() if isinstance(preset, FineTunePreset)}
    _add(commands, run, "train", "train a network", sorted(PRESETS))
    _add(commands, run, "finetune", "train a ranked network on opinions (`train` with these presets)", fine_tuning)


def _add(commands, run: Callable[[argparse.Namespace], int], name: str, words: str, presets) -> None:
    parser = commands.add_parser(name, help=words, description=DESCRIPTION)
    parser.set_defaults(run=run)
    parser.add_argument("preset", choices=sorted(presets), help="the settings of the original, or the paper's")
    _add_data(parser)
    parser.add_argument("--out", required=True, metavar="DIR", type=Path, help="the folder of log, settings, snapshots")
    parser.add_argument(
        "--seed", type=arguments.SEED, default=0, help="Caffe's random_seed, and the data layers' (default 0)"
    )
    parser.add_argument(
        "--resume", nargs="?", const=LAST, metavar="S",
        help="continue from a snapshot; without S: the last complete one in OUT; latest: the same, or a new training "
        "if OUT has none",
    )  # fmt: skip
    parser.add_argument("--set", action="append", type=_setting, default=[], metavar="NAME=NUMBER",
                        help="change a setting: max_iter=300")  # fmt: skip
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1 ..")
    parser.add_argument(
        "--caffe-products",
        nargs="?",
        type=arguments.int_in_range(1, 1024),
        const=0,
        metavar="THREADS",
        help="sum matrix products as Caffe does, to reach its weights bit for bit; slower, CPU only. THREADS: the "
        "cores that Caffe had (default: those of this machine)",
    )
    parser.add_argument("--log-csv", action="store_true", help="write OUT/log.csv: loss, rate, measures")
    parser.add_argument("--tensorboard", action="store_true", help="write OUT/tensorboard (extra tensorboard)")
    _add_networks(parser)
    _add_experiments(parser)
    _add_distorting(parser)


def _add_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument("--train", metavar="LIST", help="`path label` lines, in the original's order")
    group.add_argument("--test", metavar="LIST", help="the same for the test phase")
    group.add_argument("--root", default="", metavar="DIR", help="where the lists' paths start")
    group.add_argument("--sane", action="store_true", help="without the original's quirks in the data")
    group.add_argument(
        "--workers",
        type=arguments.processes(0),
        default=0,
        help="processes that read images (any number: the same batches)",
    )
    group.add_argument(
        "--no-check", action="store_true", help="do not check every listed image before the first iteration"
    )
    group.add_argument(
        "--cache-mb",
        type=arguments.int_in_range(0, 1 << 24),
        default=0,
        help="decoded images to keep in memory, each worker",
    )


def _add_distorting(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "ranked minibatches from pristine photographs", "In place of --train; no ranked set is needed. --set groups=, "
        "images=, levels=: types, photographs of each level, and levels (pristine included) of a minibatch."
    )  # fmt: skip
    group.add_argument("--distort", choices=arguments.Lazy("rankiqa.distortions", "DATASETS"), metavar="SET",
                       help="whose types and levels: %(choices)s")  # fmt: skip
    group.add_argument("--photographs", metavar="DIR", help="pristine photographs, also in folders inside")
    group.add_argument("--test-photographs", metavar="DIR", help="the same for the test phase")
    group.add_argument("--types", nargs="+", metavar="T", default=["default"],
                       help="as of `rankiqa distort` (default: those that it makes by default)")  # fmt: skip
    group.add_argument("--combine", type=_number, default=0.0, metavar="SHARE",
                       help="of the photographs that get a second type, one level milder")  # fmt: skip
    group.add_argument("--scales", type=_scales, default=(1.0, 1.0), metavar="LOW,HIGH",
                       help="resize each photograph by a factor between these first")  # fmt: skip
    group.add_argument("--mirror", action="store_true", help="mirror half of the photographs")
    group.add_argument("--longest", type=arguments.int_in_range(0), default=0, metavar="N",
                       help="pixels; larger photographs are reduced to this side first")  # fmt: skip


def _add_networks(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("networks")
    group.add_argument(
        "--arch", type=_arch, metavar="A",
        help=f"{', '.join(OWN)}, timm:NAME or torchvision:NAME (default: the network of --init where "
        f"it is a weights file, else {DEFAULT_ARCH})",
    )  # fmt: skip
    group.add_argument(
        "--init", "--weights", dest="init", metavar="W",
        help="initial weights: a .safetensors whose layers are copied by name, a .caffemodel, a state dict (.pth, "
        ".safetensors) of the same network, or torchvision or timm: that library's for ImageNet (of vgg16 "
        "torchvision's, changed to take BGR 0..255)",
    )  # fmt: skip


def _add_experiments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("new experiments", "Where a training departs from the original's way.")
    group.add_argument("--optimizer", choices=recipe.OPTIMIZERS, default=recipe.CAFFE, help="default: Caffe's SGD")
    group.add_argument("--lr", type=_number, metavar="X", help="the preset's base_lr")
    group.add_argument("--weight-decay", type=_number, metavar="X", help="the preset's weight_decay")
    group.add_argument("--clip", type=_number, metavar="X", help="clip_gradients: the largest norm of all gradients")
    group.add_argument("--margin", type=_number, metavar="X", help="of the ranking loss")
    group.add_argument("--iterations", type=arguments.int_in_range(0), metavar="N", help="the preset's max_iter")
    group.add_argument(
        "--schedule", choices=recipe.SCHEDULES, default=recipe.STEP,
        help="of the learning rate (default step: the preset's)",
    )  # fmt: skip
    group.add_argument(
        "--warm-up", type=arguments.int_in_range(0), default=0, metavar="N",
        help="iterations in which the rate rises (not with onecycle)",
    )  # fmt: skip
    group.add_argument(
        "--freeze-batch-norm", action="store_true", help="batch norm keeps and uses its running statistics"
    )
    group.add_argument("--dropout", type=_number, default=0.0, metavar="P", help="before the output layer (timm:NAME)")
    group.add_argument("--drop-path", type=_number, default=0.0, metavar="P", help="stochastic depth (timm:NAME)")
    group.add_argument(
        "--pairs", choices=recipe.PAIRS, default=recipe.SAME_TYPE,
        help="what is ranked: type (default), versions of one distortion, also of different photographs; same-image, "
        "versions of one photograph; all, as type, and pristine images above the versions of other distortions; vif "
        "(with --distort), as type, and versions of different distortions by their visual information fidelity",
    )  # fmt: skip
    group.add_argument("--pristine-above", type=arguments.int_in_range(1), default=1, metavar="LEVEL",
                       help="of --pairs all: the mildest level below other types' pristine images")  # fmt: skip
    group.add_argument("--vif-gap", type=_number, default=0.1, metavar="X",
                       help="of --pairs vif: the least difference of two versions' fidelity (default 0.1)")  # fmt: skip
    group.add_argument("--loss-mean", choices=recipe.MEANS, default=recipe.MEANS[0],
                       help="what the sum over the pairs is divided by (default images: the original's)")  # fmt: skip
    group.add_argument("--amp", choices=(recipe.TF32, recipe.BF16),
                       help="run the network in bfloat16, or in float32 that a GPU may multiply as TF32")  # fmt: skip
    group.add_argument("--compile", action="store_true", help="run the network through torch.compile")
    group.add_argument("--channels-last", action="store_true", help="keep weights and crops in channels-last memory")
    group.add_argument("--winograd", action="store_true",
                       help="3 x 3 convolutions by Winograd's algorithm (CPU): VGG-16 is faster")  # fmt: skip


def _setting(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    try:
        return name, parse_json(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected NAME=NUMBER, got {text!r}") from None


def _number(text: str) -> float:
    """A number as JSON writes it; the preset checks its range."""
    try:
        value = parse_json(text)
    except ValueError:
        value = None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}")
    return value


def _scales(text: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected LOW,HIGH, two factors, got {text!r}") from None
    return low, high


def _arch(text: str) -> str:
    library, colon, name = text.partition(":")
    if text not in OWN and not (library in LIBRARIES and colon and name):
        known = ", ".join(OWN)
        raise argparse.ArgumentTypeError(f"expected one of {known}, timm:NAME, torchvision:NAME, got {text!r}")
    return text


SETTINGS = {
    "lr": "base_lr", "weight_decay": "weight_decay", "clip": "clip_gradients", "margin": "margin",
    "iterations": "max_iter",
}  # fmt: skip


def preset_of(options: argparse.Namespace) -> Preset:
    """The preset with what the options change. Raises ValueError for values and names that it refuses."""
    preset = PRESETS[options.preset]
    if options.margin is not None and not isinstance(preset, RankPreset):
        raise ValueError(f"--margin: expected a preset of ranking, got {preset.name}")
    changes = {name: getattr(options, option) for option, name in SETTINGS.items()}
    return preset.but(**{**dict(options.set), **{name: value for name, value in changes.items() if value is not None}})


def recipe_of(options: argparse.Namespace) -> recipe.Recipe:
    """Where the options depart from the original's way. Raises ValueError for what does not go together."""
    return recipe.Recipe(
        optimizer=options.optimizer, schedule=options.schedule, warm_up=options.warm_up,
        precision=options.amp or recipe.FP32, freeze_batch_norm=options.freeze_batch_norm, compile=options.compile,
        channels_last=options.channels_last, winograd=options.winograd, dropout=options.dropout,
        drop_path=options.drop_path,
        pairs=options.pairs, pristine_above=options.pristine_above, vif_gap=options.vif_gap,
        loss_mean=options.loss_mean,
    )  # fmt: skip


def sources_of(options: argparse.Namespace) -> tuple[Source, Source | None]:
    """What the training and its test phase draw from. Raises ValueError for lists or folders that cannot be used."""
    from rankiqa.cli.distort import types_of
    from rankiqa.data.lists import read_list
    from rankiqa.distortions import DATASETS
    from rankiqa.ranked_sets.on_the_fly import DistortionChoice, PristinePhotographs

    test = read_list(options.test, options.root) if options.test else None
    if options.distort is None:
        if options.photographs or options.test_photographs:
            raise ValueError("--photographs: expected --distort SET beside it")
        if options.train is None:
            raise ValueError("expected --train LIST, or --distort SET --photographs DIR, got neither")
        return read_list(options.train, options.root), test
    if options.train or options.test or not options.photographs:
        raise ValueError("--distort: expected --photographs (and --test-photographs) in place of --train and --test")
    types = tuple(types_of(DATASETS[options.distort], options.types))
    choice = DistortionChoice(
        options.distort, types, options.combine, options.scales, options.mirror, options.longest,
        fidelity=options.pairs == recipe.BY_VIF,
    )  # fmt: skip
    folders = (options.photographs, options.test_photographs)
    train, test_photographs = (folder and PristinePhotographs.of_folder(folder, choice) for folder in folders)
    return train, test_photographs or None
