"""The constants of a weights file, without torch: the converter writes such files too."""

FORMAT, VERSION = "rankiqa", "1"
SOLVER = "solver."  # how the keys of a snapshot begin that are not weights
HISTORY, RANDOM = f"{SOLVER}history.", f"{SOLVER}random"
