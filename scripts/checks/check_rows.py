"""The rows of a check's table, with the comparison, its error and its result, as lines and as JSON."""

import json
import sys
from dataclasses import asdict, dataclass

import numpy as np

STATES = {True: "ok  ", False: "FAIL", None: "    "}


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        check: The two sides, "Caffe on the GPU / on the CPU".
        case: The compared values, "vgg16 layers".
        passed: Whether the check passed; None: the row is only information.
        error: The error; None: there is no number.
        tolerance: The largest error that passes; None: there is no limit.
        detail: Where the error is, or the reason of a failure.
    """

    check: str
    case: str
    passed: bool | None
    error: float | None = None
    tolerance: float | None = None
    detail: str = ""

    def __str__(self):
        line = f"{STATES[self.passed]} {self.check:<34} {self.case:<24}"
        if self.error is not None:
            line += f" {self.error:9.1e}"
            line += f"  at most {self.tolerance:.0e}" if self.tolerance is not None else ""
        return f"{line}  {self.detail}".rstrip()


class Table:
    """The rows of a run; each is printed when it is added."""

    def __init__(self, file=None):
        self.rows, self.file = [], file

    def add(self, row):
        """Store and print a row; return False if it failed, otherwise True."""
        self.rows.append(row)
        print(row, file=self.file or sys.stdout, flush=True)
        return row.passed is not False

    def compare(self, check, case, errors, tolerance):
        """Add a row with the largest of {where: error}; return whether it passed.

        A nan counts as larger than any number. The row fails if there is nothing to compare.
        """
        if not errors:
            return self.add(Row(check, case, False, detail="nothing to compare"))
        where = max(errors, key=lambda name: np.inf if np.isnan(errors[name]) else errors[name])
        error = float(errors[where])
        return self.add(Row(check, case, bool(error <= tolerance), error, tolerance, f"{where} of {len(errors)}"))

    @property
    def passed(self):
        """Whether at least one row has passed and none has failed."""
        states = {row.passed for row in self.rows}
        return True in states and False not in states

    def json(self, **more):
        """Return the rows and further values as JSON text."""
        rows = [asdict(row) for row in self.rows]
        for row in rows:
            if row["error"] is not None and not np.isfinite(row["error"]):
                row["error"] = str(row["error"])  # JSON cannot represent it
        return json.dumps({"passed": self.passed, **more, "rows": rows}, indent=1) + "\n"
