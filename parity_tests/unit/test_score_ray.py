"""Scoring on a Ray cluster gives the rows of one machine, each once, even if a machine is lost half way."""

import tarfile
import threading
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

import rankiqa
from rankiqa.cli import main
from rankiqa.data.image_sources import sources_of_all
from rankiqa.scoring.many import ScoreSettings
from rankiqa.scoring.result_files import read_rows

ray = pytest.importorskip("ray")
from ray.cluster_utils import Cluster  # noqa: E402

from rankiqa.scoring import ray_scoring  # noqa: E402

IMAGES = 40
CORES = 2


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Return a folder of images with one bad file, and a compressed archive with another image."""
    folder = tmp_path_factory.mktemp("ray") / "images"
    folder.mkdir()
    for k in range(IMAGES - 2):
        pixels = np.random.default_rng(k).integers(0, 256, (228, 230, 3), np.uint8)
        cv2.imwrite(str(folder / f"{k:02}.png"), pixels)
    (folder / "bad.png").write_bytes(b"no image")
    with tarfile.open(folder.parent / "a.tar.gz", "w:gz") as archive:
        archive.add(folder / "00.png", "00.png")
    return [str(folder), str(folder.parent / "a.tar.gz")]


@pytest.fixture(scope="module")
def cluster():
    """Connect this process to the first of two nodes; return (cluster, the second node)."""
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": CORES, "include_dashboard": False})
    second = nodes.add_node(num_cpus=CORES)
    ray.init(nodes.address, log_to_driver=False)
    yield nodes, second
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture(scope="module")
def expected(images, weights):
    rows = list(rankiqa.score_many(rankiqa.load(weights), images, crops=2))
    assert len(rows) == IMAGES and sum("error" in row for row in rows) == 1
    return rows


@pytest.mark.slow  # two nodes and two actors need half a minute to start
def test_a_machine_is_lost(images, weights, cluster, expected, monkeypatch, tmp_path):
    """The command writes Parquet while the second node is killed half way; rows and order are those of one machine."""
    monkeypatch.setattr(ray_scoring, "BLOCK", 2)
    nodes, second = cluster
    out = tmp_path / "o.parquet"
    part, lost = tmp_path / "o.parquet.part", []

    def lose():
        while not part.exists() or part.read_bytes().count(b"\n") < IMAGES // 2:
            if out.exists():
                return
            time.sleep(0.01)
        nodes.remove_node(second, allow_graceful=False)
        lost.append(part.exists())

    watch = threading.Thread(target=lose)
    watch.start()
    status = main(["score", *images, "--weights", str(weights), "--crops", "2", "--ray", "--out", str(out)])
    watch.join()
    assert status == 1 and lost == [True]  # the node was killed during the run
    assert list(read_rows(out)) == expected
    assert sum(node["Alive"] for node in ray.nodes()) == 1


def test_a_machine_with_other_weights_or_versions_takes_no_part(weights):
    engine = ray_scoring.remote_engine(
        str(weights), rankiqa.load(weights), name="torch", precision="fp32", device="cpu"
    )
    for change, message in [
        ({"sha256": "0" * 64}, "expected weights 000000000000"),
        ({"torch": "1"}, "PyTorch 1, got"),
    ]:
        with pytest.raises(ValueError, match=message):
            ray_scoring._Actor(replace(engine, **change), ScoreSettings())


def test_what_ray_loses_is_asked_for_again(images, monkeypatch):
    """Rows that a pipeline drops are requested again, repeated rows count once; without any row the run fails."""
    calls = []

    def pipeline(ray, engine, sources, settings):
        calls.append([number for number, _ in sources])
        kept = sources[::2] if len(calls) == 1 else sources
        yield from ((number, {"path": source.name}) for number, source in [*kept, *kept])

    monkeypatch.setattr(ray_scoring, "_pipeline", pipeline)
    sources = list(sources_of_all(images))
    rows = list(ray_scoring._round(None, None, sources, ScoreSettings()))
    assert [row["path"] for row in rows] == [source.name for source in sources]
    assert calls == [list(range(IMAGES)), list(range(1, IMAGES, 2))]
    monkeypatch.setattr(ray_scoring, "_pipeline", lambda *_: iter(()))
    with pytest.raises(ValueError, match="expected a row for each image"):
        list(ray_scoring._round(None, None, sources, ScoreSettings()))
