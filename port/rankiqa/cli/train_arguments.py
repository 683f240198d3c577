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

LAST, LATEST = "", "latest"  # values of --resume: "": the last snapshot, which must exist; "latest": it may be missing
DEFAULT_ARCH = "vgg16"
LIBRARIES = ("timm", "torchvision")
OWN = (*sorted(ARCHITECTURES), "efficientnet_lite0")  # the names of our registry; reading it would import torch
DESCRIPTION = (
    "Train as the original does; in Caffe, the same seed gives the same training. The options under `new experiments` "
    "depart from the original. The command writes OUT/log.txt, OUT/settings.json and OUT/PRESET_iter_N.safetensors. "
    "After SIGINT, SIGTERM or SIGHUP, or if an image cannot be read, it writes a snapshot and ends; --resume continues "
    "the training bit for bit. Exit status: 0 trained, 1 stopped or failed during the training, 2 not started (wrong "
    "options, lists, images or weights)."
)


def add(commands, run: Callable[[argparse.Namespace], int]) -> None:
    """Add `train` and `finetune` to the subparsers `commands`. They call `run`."""
    fine_tuning = {name for name, preset in PRESETS.items() if isinstance(preset, FineTunePreset)}
    _add(commands, run, "train", "train a network", sorted(PRESETS))
    _add(
        commands,
        run,
        "finetune",
        "fine-tune a ranked network on people's opinions (`train` with these presets)",
        fine_tuning,
    )


def _add(commands, run: Callable[[argparse.Namespace], int], name: str, words: str, presets) -> None:
    parser = commands.add_parser(name, help=words, description=DESCRIPTION)
    parser.set_defaults(run=run)
    parser.add_argument("preset", choices=sorted(presets), help="settings of the original code, or of the paper")
    _add_data(parser)
    parser.add_argument(
        "--out", required=True, metavar="DIR", type=Path, help="folder of the log, the settings and the snapshots"
    )
    parser.add_argument(
        "--seed", type=arguments.SEED, default=0, help="Caffe's random_seed and the seed of the data layers (default 0)"
    )
    parser.add_argument(
        "--resume", nargs="?", const=LAST, metavar="S",
        help="continue from a snapshot. Without S: from the last complete one in OUT, which must exist; latest: the "
        "same, or start a new training if OUT has none",
    )  # fmt: skip
    parser.add_argument("--set", action="append", type=_setting, default=[], metavar="NAME=NUMBER",
                        help="change a setting of the preset, for example max_iter=300")  # fmt: skip
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1 ..")
    parser.add_argument(
        "--caffe-products",
        nargs="?",
        type=arguments.int_in_range(1, 1024),
        const=0,
        metavar="THREADS",
        help="sum matrix products in Caffe's order, to reach its weights bit for bit; slower, CPU only. THREADS: the "
        "number of cores that Caffe had (default: the cores of this machine)",
    )
    parser.add_argument("--log-csv", action="store_true", help="write OUT/log.csv: loss, learning rate, measures")
    parser.add_argument(
        "--tensorboard", action="store_true", help="write TensorBoard's files to OUT/tensorboard (extra tensorboard)"
    )
    _add_networks(parser)
    _add_experiments(parser)
    _add_distorting(parser)


def _add_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--train", metavar="LIST", help="list of training images: `path label` lines, in the original's order"
    )
    group.add_argument("--test", metavar="LIST", help="list of images for the test phase")
    group.add_argument("--root", default="", metavar="DIR", help="folder that the paths in the lists are relative to")
    group.add_argument("--sane", action="store_true", help="do not reproduce the original's quirks in data reading")
    group.add_argument(
        "--workers",
        type=arguments.processes(0),
        default=0,
        help="processes that read images; the batches do not depend on their number (default 0: none)",
    )
    group.add_argument(
        "--no-check", action="store_true", help="skip the check of every listed image before the first iteration"
    )
    group.add_argument(
        "--cache-mb",
        type=arguments.int_in_range(0, 1 << 24),
        default=0,
        help="MiB of decoded images that each worker keeps in memory (default 0)",
    )


def _add_distorting(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "ranked minibatches from pristine photographs", "Use these options instead of --train; no ranked set is "
        "needed. Set the number of types, photographs per level and levels (pristine included) of a minibatch by "
        "--set groups=, images=, levels=."
    )  # fmt: skip
    group.add_argument("--distort", choices=arguments.Lazy("rankiqa.distortions", "DATASETS"), metavar="SET",
                       help="set that defines the distortion types and levels: %(choices)s")  # fmt: skip
    group.add_argument("--photographs", metavar="DIR", help="folder of pristine photographs; subfolders are read, too")
    group.add_argument("--test-photographs", metavar="DIR", help="folder of pristine photographs for the test phase")
    group.add_argument("--types", nargs="+", metavar="T", default=["default"],
                       help="distortion types, as in `rankiqa distort` (default: its default)")  # fmt: skip
    group.add_argument("--combine", type=_number, default=0.0, metavar="SHARE",
                       help="share of the photographs that get a second distortion, one level milder")  # fmt: skip
    group.add_argument("--scales", type=_scales, default=(1.0, 1.0), metavar="LOW,HIGH",
                       help="first resize each photograph by a random factor between these two")  # fmt: skip
    group.add_argument("--mirror", action="store_true", help="mirror a random half of the photographs")
    group.add_argument("--longest", type=arguments.int_in_range(0), default=0, metavar="N",
                       help="first reduce larger photographs to this longest side, in pixels")  # fmt: skip


def _add_networks(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("networks")
    group.add_argument(
        "--arch", type=_arch, metavar="A",
        help=f"{', '.join(OWN)}, timm:NAME or torchvision:NAME (default: the network of --init if that is a weights "
        f"file, else {DEFAULT_ARCH})",
    )  # fmt: skip
    group.add_argument(
        "--init", "--weights", dest="init", metavar="W",
        help="initial weights: a .safetensors file, whose layers are copied by name; a .caffemodel; a state dict "
        "(.pth, .safetensors) of the same network; or torchvision or timm for that library's ImageNet weights (for "
        "vgg16, torchvision's, changed to take BGR 0..255)",
    )  # fmt: skip


def _add_experiments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("new experiments", "Options that depart from the original's training.")
    group.add_argument(
        "--optimizer", choices=recipe.OPTIMIZERS, default=recipe.CAFFE, help="optimizer (default: Caffe's SGD)"
    )
    group.add_argument("--lr", type=_number, metavar="X", help="replaces base_lr of the preset")
    group.add_argument("--weight-decay", type=_number, metavar="X", help="replaces weight_decay of the preset")
    group.add_argument(
        "--clip", type=_number, metavar="X", help="replaces clip_gradients: the largest norm of all gradients together"
    )
    group.add_argument("--margin", type=_number, metavar="X", help="margin of the ranking loss")
    group.add_argument(
        "--iterations", type=arguments.int_in_range(0), metavar="N", help="replaces max_iter of the preset"
    )
    group.add_argument(
        "--schedule", choices=recipe.SCHEDULES, default=recipe.STEP,
        help="schedule of the learning rate (default step, as the preset says)",
    )  # fmt: skip
    group.add_argument(
        "--warm-up", type=arguments.int_in_range(0), default=0, metavar="N",
        help="iterations in which the learning rate rises linearly (not with onecycle)",
    )  # fmt: skip
    group.add_argument(
        "--freeze-batch-norm",
        action="store_true",
        help="batch norm uses its running statistics and does not update them",
    )
    group.add_argument(
        "--dropout", type=_number, default=0.0, metavar="P", help="dropout before the output layer (timm:NAME)"
    )
    group.add_argument(
        "--drop-path", type=_number, default=0.0, metavar="P", help="rate of stochastic depth (timm:NAME)"
    )
    group.add_argument(
        "--pairs", choices=recipe.PAIRS, default=recipe.SAME_TYPE,
        help="which pairs are ranked. type (default): versions of one distortion, also of different photographs; "
        "same-image: versions of one photograph; all: as type, and pristine images above versions of other "
        "distortions; vif (with --distort): as type, and versions of different distortions by their visual information "
        "fidelity",
    )  # fmt: skip
    group.add_argument("--pristine-above", type=arguments.int_in_range(1), default=1, metavar="LEVEL",
                       help="with --pairs all: the mildest level that ranks below the pristine images "
                            "of other types")  # fmt: skip
    group.add_argument("--vif-gap", type=_number, default=0.1, metavar="X",
                       help="with --pairs vif: the smallest fidelity difference of a ranked pair "
                            "(default 0.1)")  # fmt: skip
    group.add_argument("--loss-mean", choices=recipe.MEANS, default=recipe.MEANS[0],
                       help="divisor of the sum over the pairs (default images, as in the original)")  # fmt: skip
    group.add_argument("--amp", choices=(recipe.TF32, recipe.BF16),
                       help="run the network in bfloat16, or in float32 with TF32 products allowed on a "
                            "GPU")  # fmt: skip
    group.add_argument("--compile", action="store_true", help="run the network through torch.compile")
    group.add_argument(
        "--channels-last", action="store_true", help="store weights and crops in the channels-last layout"
    )
    group.add_argument("--winograd", action="store_true",
                       help="compute 3 x 3 convolutions by Winograd's algorithm (CPU); faster for VGG-16")  # fmt: skip


def _setting(text: str) -> tuple[str, object]:
    """Parse NAME=NUMBER (an argparse type)."""
    name, _, value = text.partition("=")
    try:
        return name, parse_json(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected NAME=NUMBER, got {text!r}") from None


def _number(text: str) -> float:
    """Parse a number in JSON's notation (an argparse type). The preset checks its range."""
    try:
        value = parse_json(text)
    except ValueError:
        value = None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}")
    return value


def _scales(text: str) -> tuple[float, float]:
    """Parse LOW,HIGH (an argparse type)."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected two factors LOW,HIGH, got {text!r}") from None
    return low, high


def _arch(text: str) -> str:
    """Check the name of a network (an argparse type)."""
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
    """Return the preset, changed as the options say.

    Raises:
        ValueError: The preset refuses a value or a name.
    """
    preset = PRESETS[options.preset]
    if options.margin is not None and not isinstance(preset, RankPreset):
        raise ValueError(f"--margin: expected a ranking preset, got {preset.name}")
    changes = {name: getattr(options, option) for option, name in SETTINGS.items()}
    return preset.but(**{**dict(options.set), **{name: value for name, value in changes.items() if value is not None}})


def recipe_of(options: argparse.Namespace) -> recipe.Recipe:
    """Return the options that depart from the original's training.

    Raises:
        ValueError: Some of them do not go together.
    """
    return recipe.Recipe(
        optimizer=options.optimizer, schedule=options.schedule, warm_up=options.warm_up,
        precision=options.amp or recipe.FP32, freeze_batch_norm=options.freeze_batch_norm, compile=options.compile,
        channels_last=options.channels_last, winograd=options.winograd, dropout=options.dropout,
        drop_path=options.drop_path,
        pairs=options.pairs, pristine_above=options.pristine_above, vif_gap=options.vif_gap,
        loss_mean=options.loss_mean,
    )  # fmt: skip


def sources_of(options: argparse.Namespace) -> tuple[Source, Source | None]:
    """Return the image sources of the training and of its test phase.

    Returns:
        (training, test); test is None without a test phase.

    Raises:
        ValueError: A list or a folder cannot be used.
    """
    from rankiqa.cli.distort import types_of
    from rankiqa.data.image_lists import read_list
    from rankiqa.distortions import DATASETS
    from rankiqa.ranked_sets.on_the_fly import DistortionChoice, PristinePhotographs

    test = read_list(options.test, options.root) if options.test else None
    if options.distort is None:
        if options.photographs or options.test_photographs:
            raise ValueError("--photographs: expected --distort SET with it, got none")
        if options.train is None:
            raise ValueError("expected --train LIST, or --distort SET --photographs DIR, got neither")
        return read_list(options.train, options.root), test
    if options.train or options.test or not options.photographs:
        raise ValueError("--distort: expected --photographs (and --test-photographs) instead of --train and --test")
    types = tuple(types_of(DATASETS[options.distort], options.types))
    choice = DistortionChoice(
        options.distort, types, options.combine, options.scales, options.mirror, options.longest,
        fidelity=options.pairs == recipe.BY_VIF,
    )  # fmt: skip
    folders = (options.photographs, options.test_photographs)
    train, test_photographs = (folder and PristinePhotographs.of_folder(folder, choice) for folder in folders)
    return train, test_photographs or None
