"""Fixtures and options of all parity tests: which Caffe answers, and the report of the measured errors."""

import json
import os
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before OpenMP starts; rankiqa.caffe_blas says why


import sample_training  # noqa: E402
from caffe_client import IMAGE  # noqa: E402
from lib.recordings import Recorded, VerifiedLive  # noqa: E402
from octave.fixtures import either_octave, live_octave  # noqa: E402, F401
from rankiqa.data.atomic_files import replacing  # noqa: E402
from rankiqa.models import memory  # noqa: E402

MEASURED = pytest.StashKey()
SECONDS = pytest.StashKey()  # {test file: seconds}
TRAININGS = ("test_same_blas.py", "test_trajectory.py")
TIMES = ("<!-- file times -->\n", "<!-- end of file times -->")  # the marks around the table in README.md


def pytest_addoption(parser):
    group = parser.getgroup("parity")
    group.addoption(
        "--caffe",
        choices=("live", "recorded", "auto"),
        default="auto",
        help="live: the original Caffe in Docker, or fail; recorded: its recorded answers; auto: live where possible",
    )
    group.addoption(
        "--caffe-image",
        default=IMAGE,
        help="the Docker image that answers (caffe_ref:gpu: the CPU path of the CUDA build); only the default is built",
    )
    group.addoption(
        "--device",
        help="the device of the tests marked gpu (default: cuda, or they are skipped); with cpu they run without a GPU",
    )
    group.addoption("--record", action="store_true", help="save live Caffe's answers in parity_tests/recorded")
    group.addoption("--parity-report", metavar="FILE", help="write every comparison as JSON")
    group.addoption("--file-times", action="store_true", help="write each test file's time into parity_tests/README.md")


def pytest_collection_modifyitems(items):
    """Run Caffe's longest trainings first and the many short unit tests last, so that two processes end together."""
    items.sort(key=lambda item: (item.path.name not in TRAININGS, item.path.parent.name == "unit"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Share the tests between two processes: gw0 trains with Caffe, the other runs the remaining comparisons.

    Then both run unit tests. The trainings must be gw0's: in another process Caffe would train a second time
    (`_begin_early`).
    """
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # xdist's own order, most tests first, would put the trainings last

    class Scheduling(LoadScopeScheduling):
        @property
        def nodes(self):
            return sorted(super().nodes, key=lambda node: node.gateway.id)  # otherwise in the order of their start

        def _split_scope(self, nodeid):
            path = Path(nodeid.split("::")[0])
            return "trainings" if path.name in TRAININGS else path.name if path.parent.name == "unit" else "rungs"

    return Scheduling(config, log)


def pytest_configure(config):
    memory.keep_freed()
    config.stash[MEASURED] = []
    config.stash[SECONDS] = defaultdict(float)


def pytest_sessionfinish(session):
    """In a worker of xdist: send the measurements to the main process."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["measured"] = [asdict(row) for row in session.config.stash[MEASURED]]
        session.config.workeroutput["seconds"] = dict(session.config.stash[SECONDS])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Add the measurements of a worker of xdist."""
    output = getattr(node, "workeroutput", {})  # a worker that died has none
    node.config.stash[MEASURED] += [Measured(**row) for row in output.get("measured", ())]
    for name, seconds in output.get("seconds", {}).items():
        node.config.stash[SECONDS][name] += seconds


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    start = time.monotonic()
    result = yield
    item.config.stash[SECONDS][item.path.relative_to(ROOT / "parity_tests").as_posix()] += time.monotonic() - start
    return result


def write_file_times(seconds, page=ROOT / "parity_tests" / "README.md"):
    """Replace the table of times in README.md. seconds: {test file: seconds}."""
    head, rest = page.read_text(encoding="utf-8").split(TIMES[0])
    rows = [f"| `{name}` | {value:.0f} |\n" for name, value in sorted(seconds.items(), key=lambda row: -row[1])]
    total = f"Measured on {date.today()}: {sum(seconds.values()) / 60:.1f} minutes in all, shared by two processes.\n\n"
    table = "".join([total, "| file | seconds |\n|---|---|\n", *rows])
    with replacing(page) as temporary:
        temporary.write_text(f"{head}{TIMES[0]}{table}{TIMES[1]}{rest.split(TIMES[1])[1]}", encoding="utf-8")


@dataclass(frozen=True)
class Measured:
    """One comparison with the original. A negative control passes when its error exceeds the tolerance."""

    rung: str
    case: str
    error: float
    tolerance: float
    reference: str
    passed: bool
    negative_control: bool


@pytest.fixture(scope="session")
def caffe(request):
    """Return the reference that --caffe selects: VerifiedLive or Recorded."""
    wanted, record = request.config.getoption("--caffe"), request.config.getoption("--record")
    if wanted == "recorded":
        if record:
            pytest.exit("--record needs live Caffe", returncode=2)
        yield Recorded()
        return
    import build
    import engine

    try:
        client, why = engine.answering(), f"no Docker engine answers; {engine.how_to()}"
    except engine.NoEngine as error:
        client, why = None, str(error)
    if client is None and (wanted == "live" or record):
        pytest.exit(f"--caffe=live: {why}", returncode=2)
    if client is None:
        yield Recorded()
        return
    image = request.config.getoption("--caffe-image")
    if image == IMAGE:
        build.build(client, upstream=os.environ.get("RANKIQA_UPSTREAM") or build.AUTO)
    yield VerifiedLive(client, keep=record, image=image)
    client.close()


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Return a folder with the images and lists of sample_training."""
    folder = tmp_path_factory.mktemp("trajectory")
    sample_training.make_images(folder)
    return folder


@pytest.fixture(scope="session")
def early_trainings(request, caffe, images):
    """Return EarlyTrainings of Shallow in Caffe: the parameter `training` of each selected test with this fixture."""
    from lib.trainings import EarlyTrainings

    chosen = [item for item in request.session.items if "early_trainings" in item.fixturenames]
    trainings = EarlyTrainings(caffe, images, sorted({item.callspec.params["training"] for item in chosen}))
    yield trainings
    trainings.end()


@pytest.fixture(scope="session", autouse=True)
def _begin_early(request, worker_id):
    """Start Caffe's trainings before the first test if any selected test needs them; with xdist only gw0 does."""
    wanted = any("early_trainings" in item.fixturenames for item in request.session.items)
    if wanted and worker_id in ("master", "gw0"):
        request.getfixturevalue("early_trainings")


@pytest.fixture(scope="session")
def device(request):
    """Return the torch.device of the tests marked gpu; skip them without a GPU unless --device names a device."""
    import torch

    name = request.config.getoption("--device")
    if name is None and not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU (--device cpu runs these tests on the CPU)")
    return torch.device(name or "cuda")


@pytest.fixture
def reference_name(caffe):
    """Return the reference's name for the report; a test file with another reference overrides this fixture."""
    return caffe.name


@pytest.fixture
def parity(request, reference_name):
    """Return an object with check(rung, case, error, tolerance) and must_fail(..): they assert and report the error."""

    class Parity:
        def check(self, rung, case, error, tolerance):
            passed = error <= tolerance  # false for nan
            self._keep(rung, case, error, tolerance, passed, False)
            detail = getattr(error, "detail", "")
            assert passed, f"{rung} {case}: error {error:.3g} > {tolerance:.3g}; {detail} (reference: {reference_name})"

        def must_fail(self, rung, case, error, tolerance):
            caught = not error <= tolerance
            self._keep(rung, case, error, tolerance, caught, True)
            assert caught, f"{rung} {case}: a wrong variant passes with error {error:.3g}, tolerance {tolerance:.3g}"

        def _keep(self, *row):
            rung, case, error, tolerance, passed, negative = row
            measured = Measured(rung, case, float(error), float(tolerance), reference_name, bool(passed), negative)
            request.config.stash[MEASURED].append(measured)

    return Parity()


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash[MEASURED]
    if config.getoption("--file-times"):
        write_file_times(config.stash[SECONDS])
    path = config.getoption("--parity-report")
    if path:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    if not rows:
        return
    rungs = defaultdict(list)
    for row in rows:
        rungs[row.rung].append(row)
    write = terminalreporter.write_line
    terminalreporter.section("parity with the original")
    write(f"{'rung':<12} {'checks':>6} {'largest error':>14} {'tolerance':>10} {'wrong variants caught':>22}  asked")
    for rung, comparisons in rungs.items():
        positive = [row for row in comparisons if not row.negative_control]
        controls = [row for row in comparisons if row.negative_control]
        caught = f"{sum(row.passed for row in controls)} of {len(controls)}"
        worst = max(positive, key=lambda row: row.error / (row.tolerance or 1e-300), default=None)
        error, tolerance = (f"{worst.error:.2e}", f"{worst.tolerance:.0e}") if worst else ("-", "-")
        reference = ", ".join(dict.fromkeys(row.reference for row in comparisons))
        write(f"{rung:<12} {len(positive):>6} {error:>14} {tolerance:>10} {caught:>22}  {reference}")
    if any(row.reference == "recorded" for row in rows):
        write("These are recorded answers; live Caffe was not run. `scripts/test --caffe=live` runs it.")
