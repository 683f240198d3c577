"""The logs that the authors committed (TITAN X, July 2017) against what the same scripts log in our container.

RULES make lines comparable; what still differs must be one of DIFFERENCES, each with its reason, and each must occur.
"""

import difflib
import re
from dataclasses import dataclass

# (pattern, what replaces it; None: the line is left out, why)
RULES = [
    (r"^[IWEF]\d{4} [\d:.]+ +\d+ [\w.]+:\d+\] ", "", "time, thread, source line"),
    (r"^Using GPUs .*|^GPU \d+: .*|^Use CPU\.$|^solver_mode: .*|^device_id: .*", None, "GPU or CPU"),
    (r"^caffe\.bin: .*", None, "our launcher's remarks: GPU to CPU"),
    (r"/tmp/caffe_ref-\w+/", "", "where the launcher puts a solver whose GPU it changed to CPU"),
    (r"src/(RankIQA|FT)/(live|tid2013)/(?=solver)", "", "where the script's own solver is"),
    (r"^\[libprotobuf WARNING.*", None, "protobuf's remark on the size of a file, another in each version"),
    (r"^    @ .*", None, "memory addresses of a native stack"),
    (r"^\s*$", None, "empty"),
]
END = "Learning Rate Policy: step"


def normalised(log):
    """Lines of a start-up log up to END, by RULES."""
    found = []
    for line in log.splitlines():
        for pattern, replacement, _ in RULES:
            if replacement is not None:
                line = re.sub(pattern, replacement, line)
            elif re.match(pattern, line):
                break
        else:
            found.append(line.rstrip())
            if line.startswith(END):
                break
    return found


@dataclass(frozen=True)
class Difference:
    """Lines that stand in one log where others, or none, stand in the other."""

    theirs: tuple
    ours: tuple
    reason: str = ""


def differences(theirs, ours):
    """Every place where two lists of lines differ, in order."""
    matcher = difflib.SequenceMatcher(None, theirs, ours, autojunk=False)
    return [
        Difference(tuple(theirs[a:b]), tuple(ours[c:d]))
        for what, a, b, c, d in matcher.get_opcodes()
        if what != "equal"
    ]


_STATE = ("  level: 0", '  stage: ""')
_CONVERTER = "/home/xialei/caffe/distribute/python/caffe/pycaffe.py:13: RuntimeWarning: to-Python converter for "
_WARNINGS = tuple(
    line
    for kind in ("caffe::Net<float>", "caffe::Blob<float>", "caffe::Solver<float>")
    for line in (
        f"{_CONVERTER}boost::shared_ptr<{kind} > already registered; second conversion method ignored.",
        "  from ._caffe import Net, SGDSolver, NesterovSolver, AdaGradSolver, \\",
    )
)
_SCAFFOLD = "Solver scaffolding done."
_EDITED = "the authors edited the file after this log"
_OLD = "Caffe of 2016 copied weights for the test nets after the solver was made, Caffe of 2018 while it makes each net"
_RENAMED = "the authors' net still had fc6_m and fc7_m; the committed one has fc6 and fc7"


def _everywhere(weights):
    return [
        Difference((), ("train_state {", *_STATE, "}"), "Caffe of 2018 shows the state that it trains in"),
        Difference((), (f'weights: "{weights}"',), "Caffe of 2018 keeps --weights in the solver"),
        Difference((), _STATE, "Caffe of 2018 shows a state's level and stage"),
        Difference(_WARNINGS, (), "a remark of boost 1.5x on pycaffe"),
    ]


def _rank(edited=()):
    weights = "./models/VGG_ILSVRC_16_layers.caffemodel"
    upgrade = (
        f"Attempting to upgrade input file specified using deprecated V1LayerParameter: {weights}",
        "Successfully upgraded file specified using deprecated V1LayerParameter",
        f"Attempting to upgrade input file specified using deprecated input fields: {weights}",
        "Successfully upgraded file specified using deprecated input fields.",
        "Note that future Caffe releases will only support input layers and not input fields.",
    )
    ignored = ("Ignoring source layer fc8", "Ignoring source layer prob")
    return [
        *edited,
        *_everywhere(weights),
        Difference((), (f"Finetuning from {weights}", *upgrade, *ignored), _OLD),
        Difference((_SCAFFOLD,), (), _OLD),
        Difference((*upgrade, *ignored), (_SCAFFOLD,), _OLD),
    ]


def _ft(weights, theirs, ignored, edited=()):
    copied = (f"Finetuning from {weights}", *(f"Ignoring source layer {name}" for name in ignored))
    failed = (
        f"Finetuning from {theirs}",
        f"Check failed: fd != -1 (-1 vs. -1) File not found: {theirs}",
        "*** Check failure stack trace: ***",
        "*********************** SETTING UP",
    )
    goes_on = ("Starting Optimization", "Solving mnist_siamese_train_test", END)
    return [
        *edited,
        *_everywhere(weights),
        Difference((), copied, _OLD),
        Difference((), copied, _OLD),
        Difference(failed, goes_on, "the authors' weights were not where the script looked; here they are"),
    ]


LIVE_20, TID = (
    "./models/rank_live_20/my_siamese_iter_20000.caffemodel",
    "./models/rank_tid2013/my_siamese_iter_50000.caffemodel",
)
# log: (script, its differences)
LOGS = {
    "models/rank_live/log_live": ("./src/RankIQA/live/train_vgg.sh", _rank()),
    "models/rank_tid2013/log_tid2013": (
        "./src/RankIQA/tid2013/train_vgg.sh",
        _rank([Difference(("max_iter: 20000",), ("max_iter: 50000",), _EDITED)]),
    ),
    "models/ft_live/log_live": (
        "./src/FT/live/train_live.sh",
        _ft(
            LIVE_20,
            "./models/rank_live/my_siamese_iter_50000.caffemodel",
            ["fc8_m"],
            [Difference(("max_iter: 10000",), ("max_iter: 20000",), _EDITED)],
        ),
    ),
    "models/ft_rank_tid2013/log_tid2013": ("./src/FT/tid2013/train_vgg.sh", _ft(TID, TID, ["fc6", "fc7", "fc8_m"])),
}
RENAMED = {"models/ft_live/log_live": 36}  # places in each log


def unexplained(log, theirs, ours):
    """(differences that are not listed or, listed, do not occur; how many places were compared as renamed).

    log: a key of LOGS; theirs, ours: the two logs as text.
    """
    found = differences(normalised(theirs), normalised(ours))
    renamed = [
        one
        for one in found
        if log in RENAMED and one.ours == tuple(re.sub(r"\b(fc[67])_m\b", r"\1", line) for line in one.theirs)
    ]
    left = [(one.theirs, one.ours) for one in found if one not in renamed]
    for listed in LOGS[log][1]:
        pair = (listed.theirs, listed.ours)
        if pair in left:
            left.remove(pair)
        else:
            left.append(("listed, but does not occur", pair))
    return left, len(renamed)
