"""Identify which of upstream's four nets a model file is, and so what its score means.

The names of the fully-connected layers distinguish live-ft (fc6 fc7 fc8) from tid2013-ft (fc6_m fc7_m fc8). The rank
nets of both data sets have the same names and opposite score directions; only files that contain a training net's
Python layers distinguish them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from caffemodel import CaffemodelError, Net
from caffemodel.message import text_of
from rankiqa.models.architectures import SUFFIX, Architecture, known_nets
from rankiqa.models.score_meaning import MEANINGS, ScoreMeaning
from rankiqa_convert.layer_settings import read_settings
from rankiqa_convert.structure import v2_layers

_UPSTREAM = re.compile(r"(netloss|rank_layer|ft_layer)_(live|tid2013)$")
_LISTS = {"live": "live-rank", "tid2013": "tid2013-rank", "ft_live": "live-ft", "ft_tid2013": "tid2013-ft"}
OPTION = "state its net by --trained-on: " + ", ".join(MEANINGS)


def _by_python_layers(net: Net) -> set[str]:
    """Return the nets that a file's Python layers belong to.

    Upstream's layers are identified by their module, caffe_ref's by the list that they read.
    """
    nets = set()
    for layer in v2_layers(net):
        if not layer.python_param:
            continue
        settings = read_settings(layer, "python_param")
        module = text_of(settings.module)
        if match := _UPSTREAM.search(module):
            nets.add(f"{match[2]}-{'ft' if match[1] == 'ft_layer' else 'rank'}")
        elif module in ("caffe_ref.layers.rank_data", "caffe_ref.layers.ft_data"):
            try:
                name = PurePosixPath(json.loads(text_of(settings.param_str))["list"]).stem
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            prefix = re.sub(r"_(train|test)$", "", name)
            if prefix in _LISTS:
                nets.add(_LISTS[prefix])
    return nets


def trained_on(net: Net, path: str, architecture: Architecture, fc: Sequence[str], claimed: str | None) -> str | None:
    """Identify which of upstream's nets a model file is.

    Args:
        net: The content of the model file.
        path: The file's name, for error messages.
        architecture: Its network.
        fc: The names of its fully-connected layers.
        claimed: The value of --trained-on.

    Returns:
        "live-rank", "live-ft", "tid2013-rank" or "tid2013-ft"; None if neither the file nor the option states it.

    Raises:
        CaffemodelError: If the option does not fit the file.
    """
    names = known_nets(architecture)
    fitting = [name for name in MEANINGS if tuple(names[name]) == tuple(fc)]
    stated = [name for name in _by_python_layers(net) if name in fitting]
    if claimed is None:
        if len(stated) == 1:
            return stated[0]
        return fitting[0] if len(fitting) == 1 and not stated else None
    if claimed not in MEANINGS:
        raise CaffemodelError(f"--trained-on: expected one of {', '.join(MEANINGS)}, got {claimed}")
    if claimed not in fitting:
        expected = " ".join(names[claimed])
        raise CaffemodelError(f"{path}: --trained-on {claimed}: expected the layers {expected}, got {' '.join(fc)}")
    if stated and claimed not in stated:
        raise CaffemodelError(
            f"{path}: --trained-on {claimed}: expected that net, got a training net of {', '.join(stated)}"
        )
    return claimed


def meaning_of(name: str | None) -> ScoreMeaning:
    """Return the meaning of the score of one of upstream's nets; for None, an unknown meaning."""
    return MEANINGS[name] if name else ScoreMeaning()


def unknown_reason(fc: Sequence[str]) -> str:
    """Explain in one line why the meaning of a file's score is not known."""
    ranked = fc[-1].endswith(SUFFIX)
    why = "rank nets of LIVE and TID2013 have the same layers" if ranked else "the names of its layers do not show it"
    return f"whether a lower score is better is not known: {why}; {OPTION}"
