"""Ray clusters: the connection, and `rankiqa distort --ray` on two nodes, one of which is killed."""

import contextlib
import io
import json
import os
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest

from rankiqa.cli import main
from rankiqa.data import ray_cluster
from rankiqa.distortions import DATASETS
from rankiqa.ranked_sets import ray_jobs, set_description
from rankiqa.ranked_sets.make_files import DistortionJob

ray = pytest.importorskip("ray")
PHOTOGRAPHS = sorted((Path(__file__).resolve().parents[1] / "photographs").glob("*.jpg"))[:7]


@pytest.mark.parametrize("address", ["nonsense", "a b", "127.0.0.1:{port}", "ray://127.0.0.1:{port}"])
def test_an_address_without_a_cluster(address, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with socket.socket() as bound:  # nothing listens on this port, and no other process can use it
        bound.bind(("127.0.0.1", 0))
        address = address.format(port=bound.getsockname()[1])
        with pytest.raises(ValueError, match=r"--work: expected a Ray cluster at .*, got: ."):  # noqa: SIM117
            with ray_cluster.connected(address, purpose="--work"):
                pass
    assert not ray.is_initialized()


def distort(photographs, out, *options):
    """Run `rankiqa distort` in this process; return (exit status, summary)."""
    line = ["distort", "--set", "live", "--images", photographs, "--out", out, "--json", *options]
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        status = main(list(map(str, line)))
    return status, json.loads(stdout.getvalue())


def tree(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def results(out):
    """Count the finished files: those outside .rankiqa."""
    return sum(len(files) for folder, _, files in os.walk(out) if ".rankiqa" not in folder)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for path in PHOTOGRAPHS:
        shutil.copy(path, folder)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def alone(photographs, tmp_path_factory):
    """Return {path: bytes} of the ranked set that one machine makes."""
    out = tmp_path_factory.mktemp("alone") / "out"
    status, summary = distort(photographs, out, "--workers", 2)
    assert status == 1 and len(summary["refused"]) == 1
    return tree(out)


def test_a_machine_that_cannot_take_part(photographs, tmp_path):
    versions = set_description.settings("live", 0, DATASETS["live"])["versions"]
    job = DistortionJob(
        images=str(photographs), out=str(tmp_path), dataset="live", types=("GB",), levels=(1,), seed=0, settings="",
        temporary=str(tmp_path / "run"), min_side=1, max_pixels=10**9, quick=False, pristine=True,
    )  # fmt: skip
    assert f"at the same paths on every machine, got no {tmp_path}/run" in ray_jobs.check_machine(job, versions)
    (tmp_path / "run").mkdir()
    wrong = ray_jobs.check_machine(job, {**versions, "opencv": "4.0"})
    assert f"expected opencv 4.0, as on the machine where the run began, got {versions['opencv']}" in wrong
    assert ray_jobs.check_machine(job, versions) is None


@pytest.fixture
def cluster():
    """Return a cluster of two nodes with one core each, in separate processes."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        nodes.second = nodes.add_node(num_cpus=1)
        nodes.wait_for_nodes()
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


@pytest.mark.slow  # two nodes: 20 s
def test_distort_with_a_node_killed_half_way(photographs, alone, cluster, tmp_path):
    out = tmp_path / "out"
    everything = sum(not path.startswith(".rankiqa/") for path in alone)
    killed_at = []

    def kill_half_way():
        while not out.exists() or results(out) < everything // 2:
            time.sleep(0.005)
        cluster.remove_node(cluster.second, allow_graceful=False)
        killed_at.append(results(out))

    killer = threading.Thread(target=kill_half_way, daemon=True)
    killer.start()
    status, summary = distort(photographs, out, "--ray", cluster.address)
    killer.join(60)
    assert everything // 2 <= killed_at[0] < everything
    assert status == 1 and summary["error"] is None
    assert [row["image"] for row in summary["refused"]] == ["broken.png"]
    assert summary["workers"] >= 2  # both nodes took part
    # When a photograph is repeated, the files that the killed node had finished are skipped
    made = summary["made"]["files"] + summary["skipped"]["files"]
    assert made == everything - 1 == 21 * len(PHOTOGRAPHS)
    assert tree(out) == alone

    os.unlink(out / "GB" / "GB2" / f"{PHOTOGRAPHS[0].stem}.bmp")
    (out / "JPEG" / "JPEG1" / f"{PHOTOGRAPHS[1].stem}.jpg").write_bytes(b"damaged")
    status, summary = distort(photographs, out, "--ray", cluster.address)
    assert summary["made"] == {"photographs": 2, "files": 2}
    assert tree(out) == alone
