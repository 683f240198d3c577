"""Which package may import which. Imports in functions and for type checkers count as well."""

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PORT = ROOT / "port" / "rankiqa"
# {package of the port: packages that it may import}. A package that is not listed here fails the test.
ARROWS = {
    "caffe": set(),
    "data": set(),
    "losses": set(),
    "metrics": set(),
    "caffe_random": {"caffe"},
    "layers": {"caffe"},
    "models": {"caffe", "data"},
    "distortions": {"data"},
    "ranked_sets": {"data", "distortions"},
    "datasets": {"data", "ranked_sets"},
    "training": {"caffe", "data", "losses", "metrics", "models", "ranked_sets"},
    "scoring": {"caffe", "data", "metrics", "models"},
    "evaluation": {"data", "datasets", "metrics", "models", "scoring"},
    "experiments": {
        "caffe", "data", "datasets", "distortions", "evaluation", "losses", "models", "ranked_sets", "training"
    },
    "hub": {"models", "scoring"},
    "pyiqa": {"models", "scoring"},
}  # fmt: skip
ARROWS["cli"] = {*ARROWS} - {"hub", "pyiqa", "layers", "caffe_random"}
ARROWS["__main__"] = {"cli"}
BRIDGE = {"caffemodel", "rankiqa_convert"}


def imported(path):
    """Yield the dotted names of everything that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: expected absolute imports"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def roots(folder):
    """Return {path: top-level names that it imports} of every Python file below a folder."""
    return {path: {name.split(".")[0] for name in imported(path)} for path in sorted(folder.rglob("*.py"))}


def packages_imported(path):
    """Return a port file's own package and the other packages of the port that it imports."""
    own = path.relative_to(PORT).parts[0].removesuffix(".py")
    parts = {name.split(".")[1] for name in imported(path) if name.startswith("rankiqa.")}
    return own, {part for part in parts if part != own and part in ARROWS}


def test_arrows_of_the_port():
    wrong = []
    for path in sorted(PORT.rglob("*.py")):
        if path != PORT / "__init__.py":
            own, packages = packages_imported(path)
            wrong += [f"{path.relative_to(PORT)} imports {name}" for name in sorted(packages - ARROWS[own])]
    assert not wrong


def test_the_arrows_have_no_circle():
    done = set()
    while ARROWS.keys() - done:
        ready = {name for name in ARROWS.keys() - done if ARROWS[name] <= done}
        assert ready, f"a circle among {sorted(ARROWS.keys() - done)}"
        done |= ready


def test_the_port_knows_neither_the_bridge_nor_the_proof():
    """Exceptions are `rankiqa convert` and --init of a caffemodel, which the command line passes to the bridge."""
    strangers = {
        "parity_tests",
        "lib",
        "conftest",
        "docker",
        "caffe_client",
        "containers",
        "engine",
        "nets",
        "prototxt",
    }
    for path, names in roots(ROOT / "port").items():
        assert not names & strangers, path
        assert not names & BRIDGE or path in (PORT / "cli" / "__init__.py", PORT / "cli" / "train.py"), path


def test_the_bridge_imports_the_port_and_the_format_not_the_tool():
    for path, names in roots(ROOT / "conversion").items():
        assert not names & {"parity_tests", "lib", "nets", "prototxt", "caffe_client"}, path
        if path.parent.name == "caffemodel":
            assert "rankiqa_convert" not in names, path


def test_the_reference_imports_none_of_the_others():
    for path, names in roots(ROOT / "caffe_ref").items():
        assert not names & {"rankiqa", "torch", "parity_tests", "lib", "caffe_client", *BRIDGE}, path


def test_scripts_import_no_test():
    """Scripts may import parity_tests/lib, which is a library without tests."""
    for path, names in roots(ROOT / "scripts").items():
        assert not {name for name in names if name.startswith("test_")} | (names & {"conftest", "rungs", "unit"}), path
    assert not list((ROOT / "parity_tests" / "lib").rglob("test_*.py"))


def test_the_control(tmp_path):
    """Negative control: imports in functions and by name are found."""
    (tmp_path / "a.py").write_text("def f():\n    from rankiqa import cli\n    import torch.nn\n")
    assert {"rankiqa.cli", "torch.nn"} <= set(imported(tmp_path / "a.py"))


def test_no_two_modules_of_one_name():
    """A name says which file is meant, except for the pairs below, each for its reason."""
    same = {
        "backbones",  # the experiment of that name, and the networks that it trains
        "images",  # caffe_ref reads images by itself: it shares no code with the port
        "layers",  # an old import path: rankiqa.layers names the public layers of rankiqa.caffe.layers
    }
    names = Counter(
        path.stem
        for folder in ("port", "conversion", "caffe_ref", "docker", "scripts", "parity_tests")
        for path in (ROOT / folder).rglob("*.py")
        if not path.stem.startswith("__") and path.name != "conftest.py"
    )
    assert {name for name, count in names.items() if count > 1} == same
