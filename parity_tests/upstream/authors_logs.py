"""Compare the logs that the authors committed (TITAN X, July 2017) with those of the same scripts in our container.

RULES make lines comparable. The remaining differences must be those listed in LOGS, each with its reason, and every
listed difference must occur.
"""

import difflib
import re
from dataclasses import dataclass

# (pattern, replacement or None to leave out the line, reason)
RULES = [
    (r"^[IWEF]\d{4} [\d:.]+ +\d+ [\w.]+:\d+\] ", "", "time, thread, source line"),
    (r"^Using GPUs .*|^GPU \d+: .*|^Use CPU\.$|^solver_mode: .*|^device_id: .*", None, "GPU or CPU"),
    (r"^caffe\.bin: .*", None, "our launcher's messages about the change from GPU to CPU"),
    (r"/tmp/caffe_ref-\w+/", "", "the folder of solvers that the launcher changed from GPU to CPU"),
    (r"src/(RankIQA|FT)/(live|tid2013)/(?=solver)", "", "the folder of the script's own solver"),
    (r"^\[libprotobuf WARNING.*", None, "protobuf's message about a file's size, which depends on its version"),
    (r"^    @ .*", None, "addresses of a native stack trace"),
    (r"^\s*$", None, "an empty line"),
]
END = "Learning Rate Policy: step"


def normalised(log):
    """Return the lines of a start-up log up to END, after RULES."""
    lines = []
    for line in log.splitlines():
        for pattern, replacement, _ in RULES:
            if replacement is not None:
                line = re.sub(pattern, replacement, line)
            elif re.match(pattern, line):
                break
        else:
            lines.append(line.rstrip())
            if line.startswith(END):
                break
    return lines


@dataclass(frozen=True)
class Difference:
    """A place where the two logs have different lines; one side may be empty."""

    theirs: tuple
    ours: tuple
    reason: str = ""


def differences(theirs, ours):
    """Return every place where two lists of lines differ, in order."""
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
        Difference((), ("train_state {", *_STATE, "}"), "Caffe of 2018 logs the training net's state"),
        Difference((), (f'weights: "{weights}"',), "Caffe of 2018 keeps --weights in the solver"),
        Difference((), _STATE, "Caffe of 2018 logs a state's level and stage"),
        Difference(_WARNINGS, (), "a warning of boost 1.5x about pycaffe"),
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
    continues = ("Starting Optimization", "Solving mnist_siamese_train_test", END)
    return [
        *edited,
        *_everywhere(weights),
        Difference((), copied, _OLD),
        Difference((), copied, _OLD),
        Difference(failed, continues, "the script did not find the authors' weights; here it finds them"),
    ]


LIVE_20, TID = (
    "./models/rank_live_20/my_siamese_iter_20000.caffemodel",
    "./models/rank_tid2013/my_siamese_iter_50000.caffemodel",
)
# log: (script, expected differences)
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
RENAMED = {"models/ft_live/log_live": 36}  # log: number of places with a renamed layer


def unexplained(log, theirs, ours):
    """Find the differences that LOGS does not explain.

    Args:
        log: A key of LOGS.
        theirs: The authors' log as text.
        ours: Our log as text.

    Returns:
        (differences that are not listed, or listed but do not occur; the number of places with a renamed layer).
    """
    places = differences(normalised(theirs), normalised(ours))
    renamed = [
        place
        for place in places
        if log in RENAMED and place.ours == tuple(re.sub(r"\b(fc[67])_m\b", r"\1", line) for line in place.theirs)
    ]
    left = [(place.theirs, place.ours) for place in places if place not in renamed]
    for listed in LOGS[log][1]:
        pair = (listed.theirs, listed.ours)
        if pair in left:
            left.remove(pair)
        else:
            left.append(("listed, but does not occur", pair))
    return left, len(renamed)
