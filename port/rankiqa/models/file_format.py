"""Constants of the weights-file format. This module does not import torch, since the converter uses it too."""

FORMAT, VERSION = "rankiqa", "1"
SOLVER = "solver."  # prefix of a snapshot's keys that are not weights
HISTORY, RANDOM = f"{SOLVER}history.", f"{SOLVER}random"
