"""Hundreds of damaged caffemodels, solver states and weights: each gives a right answer or a clear error."""

import faulthandler
import mmap
import os
import random
import signal
from functools import partial

import pytest

import caffemodel
from lib.convert_command import arrays_of, model, old_model, small_solver_state
from lib.fault_survey import counts, survey
from lib.mutations import mutations
from rankiqa_convert import cli as convert

N = 200  # `scripts/fuzz` damages thousands
SECONDS = 20.0


def _sources(folder):
    """Return {name: (path, form)} of intact files to damage."""
    whole = model(folder / "v2.caffemodel", arrays_of(), [("data", "Input", []), ("relu1", "ReLU", [])])
    state = small_solver_state(folder)
    for path in (whole, state):
        net = caffemodel.read(path) if path is whole else caffemodel.read_solverstate(path)
        (caffemodel.write if path is whole else caffemodel.write_solverstate)(net, path.with_suffix(".h5"))
    assert convert.main([str(whole), "--out", str(folder / "w.safetensors")]) == 0
    return {
        "caffemodel V2": (whole, "protobuf"),
        "caffemodel V1": (old_model(folder / "v1.caffemodel", arrays_of()), "protobuf"),
        "solver state": (state, "protobuf"),
        "caffemodel HDF5": (whole.with_suffix(".h5"), "hdf5"),
        "solver state HDF5": (state.with_suffix(".h5"), "hdf5"),
        "safetensors": (folder / "w.safetensors", "safetensors"),
    }


def _calls(folder, path, form, n, seed):
    """Yield (name, size, call) for n damaged copies; each call inspects or converts one, by a random choice."""
    rng, damaged = random.Random(seed), folder / f"damaged{path.suffix}"

    def run(content, choice):
        damaged.write_bytes(content)
        if choice < 0.4:
            return convert.main(["inspect", str(damaged), "--json"])
        if path.suffix == ".safetensors":
            back = "solverstate" if choice < 0.6 else "caffemodel"
            return convert.main([str(damaged), "--to", back, "--like", "live-rank", "--out", str(folder / f"b.{back}")])
        return convert.main([str(damaged), "--out", str(folder / "out.safetensors")])

    for name, content in mutations(path.read_bytes(), n, seed, form):
        yield name, len(content), partial(run, content, rng.random())


@pytest.mark.parametrize(
    "kind", ["caffemodel V2", "caffemodel V1", "solver state", "caffemodel HDF5", "solver state HDF5", "safetensors"]
)
def test_no_fault(tmp_path, capsys, kind):
    path, form = _sources(tmp_path)[kind]
    n = N if kind in ("caffemodel V2", "solver state", "caffemodel HDF5", "safetensors") else N // 4
    outcomes = survey(_calls(tmp_path, path, form, n, seed=1), SECONDS)
    with capsys.disabled():
        print(f"\n{kind}: {n} damaged files: {counts(outcomes)}")
    faults = [outcome for outcome in outcomes if outcome.is_fault]
    assert not faults, f"{len(faults)} faults: " + "; ".join(
        f"{f.name}: {f.result}: {f.detail[-1500:]!r}" for f in faults[:3]
    )
    assert len(outcomes) == n


def test_the_survey_sees_every_fault(tmp_path):
    """Negative control: the survey reports each kind of fault when it is made on purpose."""

    def crash():
        faulthandler.disable()  # its report would look like a fault of the test itself
        os.kill(os.getpid(), signal.SIGSEGV)

    def hang():
        while True:
            pass

    def memory():
        with mmap.mmap(-1, 100 << 20) as pages:
            pages.write(bytes([1]) * (100 << 20))
        return 0

    def silent():
        return 2

    calls = {"traceback": lambda: 1 // 0, "crash": crash, "hang": hang, "memory": memory, "unclear error": silent,
             "right answer": lambda: 0}  # fmt: skip
    outcomes = survey([(name, 10, call) for name, call in calls.items()], seconds=10.0)
    assert {outcome.name: outcome.result for outcome in outcomes} == {name: name for name in calls}
