"""Which of upstream's four nets a model file is, and so what its score means: by its Python layers, or its names.

Fully-connected layers tell live-ft (fc6 fc7 fc8) from tid2013-ft (fc6_m fc7_m fc8). The rank nets of both data sets
have the same names and opposite directions: their files tell only where a training net's Python layers are in them.
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
OPTION = "--trained-on says what its score means: " + ", ".join(MEANINGS)


def _by_python_layers(net: Net) -> set[str]:
    """The nets that a file's Python layers belong to: upstream's by module, caffe_ref's by the list that they read."""
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
    """The net of upstream's that a file is.

    Args:
        net: The model file.
        path: Its name, for errors.
        architecture: Its network.
        fc: Its fully-connected layers' names.
        claimed: What --trained-on says.

    Returns:
        "live-rank", "live-ft", "tid2013-rank" or "tid2013-ft"; None where neither the file nor the option tells.

    Raises:
        CaffemodelError: When the option does not fit the file.
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
            f"{path}: --trained-on {claimed}: expected that, got a training net of {', '.join(stated)}"
        )
    return claimed


def meaning_of(name: str | None) -> ScoreMeaning:
    """What the score of one of upstream's nets means; nothing known for None."""
    return MEANINGS[name] if name else ScoreMeaning()


def unknown_reason(fc: Sequence[str]) -> str:
    """Why a file's meaning is not known, in a line."""
    ranked = fc[-1].endswith(SUFFIX)
    why = "rank nets of LIVE and TID2013 have the same layers" if ranked else "its layers' names do not tell"
    return f"whether a lower score is better is not known: {why}; {OPTION}"
