#!/usr/bin/env python3
"""Print RankIQA's training and deploy networks and solvers as Caffe's prototxt, from one table.

The networks are {vgg16, alexnet, shallow} x {rank, ft} x {live, tid2013} x {train, deploy}, with a solver for each
training net. VGG-16 with `layers="upstream"` equals the original repository message for message (digests in
upstream.toml). AlexNet and Shallow are the paper's other two networks. Shallow's fillers are not published; xavier is
our choice.

A message is a dict of field -> value; a repeated field is a list. Runs under Python 3.9 with nothing installed.
Source: paper section 3 and supplement table 5; upstream src/{RankIQA,FT}/{live,tid2013}/.
"""

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import prototxt
from table import CROP, TABLE

TASKS = ("rank", "ft")
DATASETS = ("live", "tid2013")
ARCHS = ("vgg16", "alexnet", "shallow")

BATCH = {("rank", "live"): 48, ("rank", "tid2013"): 45, ("ft", "live"): 30, ("ft", "tid2013"): 30}
# the structure of ranked lists and minibatches: groups (distortions) in the list, groups in a minibatch, levels, images
RANKED = {
    "live": {"list_groups": 4, "groups": 4, "levels": 6, "images": 2},
    "tid2013": {"list_groups": 18, "groups": 9, "levels": 5, "images": 1},
}
MARGIN = 10


def _fc_name(name, task, dataset):
    """Return the name of a fully-connected layer in a net: layers that are re-initialised are renamed."""
    output = name in ("fc8", "fc1")
    renamed = output if task == "rank" else dataset == "tid2013" and not output
    return name + "_m" if renamed else name


def _multipliers(factor):
    """Return the param messages of a weight and a bias."""
    return [{"lr_mult": factor, "decay_mult": 1}, {"lr_mult": 2 * factor, "decay_mult": 0}]


def _body(arch, task, dataset, kind):
    """Return (layers from the first convolution to the output, name of the output blob)."""
    layers, bottom = [], "data"
    for what, name, *spec in TABLE[arch]:
        if what == "conv":
            geometry, weight, bias, relu = spec
            param = {"num_output": geometry["out"]}
            if geometry["pad"]:
                param["pad"] = [geometry["pad"]]
            param["kernel_size"] = [geometry["kernel"]]
            if geometry["group"] > 1:
                param["group"] = geometry["group"]
            if geometry["stride"] > 1:
                param["stride"] = [geometry["stride"]]
            param.update(weight_filler=weight, bias_filler=bias)
            layers.append(_layer(name, "Convolution", bottom, name, param=_multipliers(1), convolution_param=param))
            if relu:
                layers.append(_layer("relu" + name[4:], "ReLU", name, name))
        elif what == "pool":
            layers.append(_layer(name, "Pooling", bottom, name, pooling_param=spec[0]))
        elif what == "norm":
            layers.append(_layer(name, "LRN", bottom, name, lrn_param=spec[0]))
        else:
            out, weight, bias, hidden = spec
            name, number = _fc_name(name, task, dataset), name[2:]
            # upstream: re-initialised layers have ten times the rate; its deploy nets state it for every fc (no effect)
            new = task == "ft" or kind == "deploy" or not hidden
            param = {"num_output": out, "weight_filler": weight, "bias_filler": bias}
            layers.append(
                _layer(
                    name, "InnerProduct", bottom, name, param=_multipliers(10 if new else 1), inner_product_param=param
                )
            )
            if hidden:
                layers.append(_layer("relu" + number, "ReLU", name, name))
                layers.append(_layer("drop" + number, "Dropout", name, name, dropout_param={"dropout_ratio": 0.5}))
        bottom = name
    return layers, bottom


def _layer(name, kind, bottom=None, top=None, **fields):
    """Return a layer message."""
    layer = {"name": name, "type": kind}
    for key, value in (("bottom", bottom), ("top", top)):
        if value is not None:
            layer[key] = value if isinstance(value, list) else [value]
    return {**layer, **fields}


def _python(module, layer, param=None):
    """Return a python_param message."""
    fields = {"module": module, "layer": layer}
    if param is not None:
        fields["param_str"] = param
    return fields


def _data_param(arch, task, dataset, phase, layers, data):
    """Return the python_param message of a data layer."""
    crop, batch = CROP[arch], BATCH[task, dataset]
    prefix = {("rank", "live"): "live", ("rank", "tid2013"): "tid2013"}.get((task, dataset), f"ft_{dataset}")
    split = f"{prefix}_{phase.lower()}"
    if layers == "upstream":
        text = f" {{'pascal_root': 'data' ,'split': '{split}', 'im_shape': [{crop}, {crop}],'batch_size': {batch}}}"
        return _python(f"src.data_layer.{task}_layer_{dataset}", "DataLayer", text)
    param = {"list": f"data/{split}.txt", "crop": crop, "seed": 0}
    if task == "rank":
        param.update(RANKED[dataset])
    else:
        param.update(batch=batch, sort_by_label=dataset == "tid2013")
    param.update(data)
    if phase in param:  # the user's parameters for one phase: {"TRAIN": {..}, "TEST": {..}}
        param.update(param[phase])
    param = {k: v for k, v in param.items() if k not in ("TRAIN", "TEST")}
    module, name = ("rank_data", "RankData") if task == "rank" else ("ft_data", "FTData")
    return _python(f"caffe_ref.layers.{module}", name, json.dumps(param))


def net(arch, task, dataset, kind, *, layers="ours", data=None):
    """Return a network as a message.

    Args:
        arch: One of ARCHS.
        task: One of TASKS.
        dataset: One of DATASETS.
        kind: "train" or "deploy".
        layers: "upstream": the original's Python layers (VGG-16 only: they crop at 224); "ours": those of caffe_ref.
        data: Parameters of our data layer to change (list, root, seed, images ..); {"TRAIN": {..}} for one phase.

    Raises:
        ValueError: For upstream's layers with another network than VGG-16.
    """
    if layers == "upstream" and arch != "vgg16":
        raise ValueError(f"upstream's layers: expected arch vgg16 (they crop at 224), got {arch}")
    body, output = _body(arch, task, dataset, kind)
    message = {"name": "mnist_siamese_train_test" if kind == "deploy" or task == "ft" else "RankIQA_siamese_train_test"}
    if kind == "deploy":
        message["input"] = ["data"]
        message["input_shape"] = [{"dim": [1, 3, CROP[arch], CROP[arch]]}]
        return {**message, "layer": body}
    sources = [
        _layer("data", "Python", top=["data", "label"], include=[{"phase": phase}],
               python_param=_data_param(arch, task, dataset, phase, layers, data or {}))
        for phase in ("TRAIN", "TEST")
    ]  # fmt: skip
    ours = layers == "ours"
    if task == "rank":
        structure = {**RANKED[dataset], **(data or {})}
        param = json.dumps({**{key: structure[key] for key in ("groups", "levels", "images")}, "margin": MARGIN})
        python = (
            _python("caffe_ref.layers.ranking_loss", "PairRankingLoss", param)
            if ours
            else _python(f"src.MyLossLayer.netloss_{dataset}", "MyLossLayer")
        )
        ends = [_layer("accuracy", "Python", [output, "label"], "loss", loss_weight=[1], python_param=python)]
    else:
        python = (
            _python("caffe_ref.layers.correlation", "Correlation")
            if ours
            else _python("src.tools.layers_ft", "AngularErrorLayer")
        )
        test, train = [{"phase": "TEST"}], [{"phase": "TRAIN"}]
        tops = ["spearmanr", "pearsonr"]
        ends = [
            _layer("accuracy", "Python", [output, "label"], tops, include=test, python_param=python),
            _layer("loss2", "EuclideanLoss", [output, "label"], "loss2", include=train),
        ]
    return {**message, "layer": sources + body + ends}


# base_lr, gamma, stepsize, max_iter, test_iter, folder in models/, path of the training net
SOLVERS = {
    ("rank", "live"): (1e-5, 0.1, 10000, 50000, 1, "rank_live", "src/RankIQA/live/train_{arch}.prototxt"),
    ("rank", "tid2013"): (1e-4, 0.1, 10000, 50000, 1, "rank_tid2013", "src/RankIQA/tid2013/train_{arch}.prototxt"),
    ("ft", "live"): (1e-6, 0.5, 5000, 20000, 20, "ft_live", "src/FT/live/train_{arch}.prototxt"),
    ("ft", "tid2013"): (1e-5, 0.5, 5000, 10000, 20, "ft_rank_tid2013", "src/FT/tid2013/train_{arch}.prototxt"),
}


def train_path(arch, task, dataset):
    """Return upstream's path of a training net, relative to the repository (our own for AlexNet and Shallow)."""
    name = {"vgg16": "live" if (task, dataset) == ("ft", "live") else "vgg"}.get(arch, arch)
    return SOLVERS[task, dataset][6].format(arch=name)


def solver(arch, task, dataset, **changes):
    """Return the solver of a training net as a message; `changes` replace or add fields (None removes a field)."""
    base_lr, gamma, stepsize, max_iter, test_iter, folder, _ = SOLVERS[task, dataset]
    message = {
        "net": train_path(arch, task, dataset),
        "test_iter": [test_iter], "test_interval": 1000,
        "base_lr": base_lr, "lr_policy": "step", "gamma": gamma, "stepsize": stepsize,
        "display": 100, "average_loss": 500, "max_iter": max_iter,
        "momentum": 0.9, "weight_decay": 5e-4, "solver_type": "SGD",
        "snapshot": 10000, "snapshot_prefix": f"models/{folder}/my_siamese" + ("" if arch == "vgg16" else f"_{arch}"),
        "solver_mode": "GPU",
    }  # fmt: skip
    message.update(changes)
    return {key: value for key, value in message.items() if value is not None}


def upstream_files():
    """Return {path in the original repository: message} of its 8 networks and 4 solvers."""
    files = {}
    for task in TASKS:
        for dataset in DATASETS:
            path = Path(train_path("vgg16", task, dataset))
            files[str(path)] = net("vgg16", task, dataset, "train", layers="upstream")
            files[str(path.with_name("deploy_vgg.prototxt"))] = net("vgg16", task, dataset, "deploy")
            name = path.name.replace("train", "solver")
            files[str(path.with_name(name))] = solver("vgg16", task, dataset)
    return files


def read_upstream(place):
    """Read the same {path: message} from a checkout of the original, or from a JSON file of its parsed messages."""
    place = Path(place)
    if place.is_dir():
        return {path: prototxt.parse((place / path).read_text()) for path in upstream_files()}
    facts = json.loads(place.read_text())
    return {**facts["nets"], **facts["solvers"]}


def _fields(text):
    """Parse a JSON object, for argparse."""
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON object, got {text!r}")
    return fields


def main(argv=None):
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for command, text in (("net", "print a network"), ("solver", "print a solver")):
        command_parser = commands.add_parser(command, help=text)
        command_parser.add_argument("arch", choices=ARCHS)
        command_parser.add_argument("task", choices=TASKS)
        command_parser.add_argument("dataset", choices=DATASETS)
        if command == "net":
            command_parser.add_argument("kind", choices=("train", "deploy"))
            command_parser.add_argument("--layers", choices=("ours", "upstream"), default="ours")
            command_parser.add_argument("--data", type=_fields, help="JSON: parameters of our data layer to change")
        else:
            command_parser.add_argument(
                "--set", type=_fields, default={}, help='JSON: fields to change, {"max_iter": 100}'
            )
    digests = commands.add_parser("digests", help="print the digest of each of upstream's files, from our table")
    digests.add_argument("--of", metavar="PATH", help="read a checkout of the original, or its messages as JSON")
    options = parser.parse_args(argv)
    if options.command == "digests":
        ours = {path: prototxt.parse(prototxt.to_text(message)) for path, message in upstream_files().items()}
        try:
            messages = read_upstream(options.of) if options.of else ours
        except (OSError, ValueError, KeyError, TypeError) as error:
            parser.error(
                f"--of {options.of}: expected a checkout of the original, or its messages as JSON, got: {error}"
            )
        for path, message in sorted(messages.items()):
            print(prototxt.digest(message), path)
    elif options.command == "net":
        names = options.arch, options.task, options.dataset, options.kind
        try:
            message = net(*names, layers=options.layers, data=options.data)
        except ValueError as error:
            parser.error(str(error))
        print(prototxt.to_text(message), end="")
    else:
        print(prototxt.to_text(solver(options.arch, options.task, options.dataset, **options.set)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
