"""Rows of a check: what was compared, how far apart it is, whether that is right; as lines, and as JSON."""

import json
import sys
from dataclasses import asdict, dataclass

import numpy as np

STATES = {True: "ok  ", False: "FAIL", None: "    "}


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        check: what is compared, "Caffe on the GPU / on the CPU".
        case: of what, "vgg16 layers".
        passed: None: a row that only informs.
        error: how far apart; None: no number.
        tolerance: the largest error that is right; None: none.
        detail: where the error is, or what went wrong.
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
    """The rows of a run, each printed when it is added."""

    def __init__(self, file=None):
        self.rows, self.file = [], file

    def add(self, row):
        """Keep and print a row; returns whether it has not failed."""
        self.rows.append(row)
        print(row, file=self.file or sys.stdout, flush=True)
        return row.passed is not False

    def compare(self, check, case, errors, tolerance):
        """Add the largest of {where: error}; a nan is larger than any number. Nothing to compare has failed."""
        if not errors:
            return self.add(Row(check, case, False, detail="nothing to compare"))
        where = max(errors, key=lambda name: np.inf if np.isnan(errors[name]) else errors[name])
        error = float(errors[where])
        return self.add(Row(check, case, bool(error <= tolerance), error, tolerance, f"{where} of {len(errors)}"))

    @property
    def passed(self):
        """Whether a row has passed and none has failed."""
        states = {row.passed for row in self.rows}
        return True in states and False not in states

    def json(self, **more):
        """The rows and more as JSON text."""
        rows = [asdict(row) for row in self.rows]
        for row in rows:
            if row["error"] is not None and not np.isfinite(row["error"]):
                row["error"] = str(row["error"])  # JSON has no nan
        return json.dumps({"passed": self.passed, **more, "rows": rows}, indent=1) + "\n"
