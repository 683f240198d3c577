"""The port's Docker image converts, scores and trains as any user, and gives the same scores as this machine.

It needs the image (`docker/build.py --port`); with RANKIQA_PORT_IMAGE=build the test builds it (some minutes).
"""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

import build
import containers
import engine
import rankiqa
from sample_networks import CROPS, random_caffemodel
from sample_training import PHOTOGRAPHS

pytestmark = pytest.mark.slow
LARGEST = 1.2e9  # bytes
SCORES = 1e-4  # of their range: Debian's PyTorch and this machine's add in different orders
TRAINING = (
    "--set list_groups=2 --set groups=2 --set levels=3 --set images=1 --set max_iter=1 --arch shallow --seed 1"
).split()


@pytest.fixture(scope="module")
def client():
    try:
        answering = engine.answering()
    except engine.NoEngine as error:
        pytest.skip(str(error))
    if answering is None:
        pytest.skip(f"no Docker engine answers; {engine.how_to()}")
    if os.environ.get("RANKIQA_PORT_IMAGE") == "build":
        build.build(answering, image=build.PORT)
    if build.labels(answering, build.PORT).get(build.SOURCE) != build.source_digest(build.PORT):
        pytest.skip("no image of the port was built from these files; docker/build.py --port builds it")
    yield answering
    answering.close()


@pytest.fixture(scope="module")
def rankiqa_in(client, tmp_path_factory):
    """Return run(*arguments) -> stdout, which runs the image with the folder run.folder mounted as /work."""
    folder = tmp_path_factory.mktemp("port")
    random_caffemodel(folder / "w.caffemodel", "shallow")
    (folder / "photos").mkdir()
    for path in sorted(CROPS.glob("*.png"))[:2]:
        shutil.copy(path, folder / "photos")
    shutil.copy(sorted(PHOTOGRAPHS.glob("*.jpg"))[0], folder / "photo.jpg")

    def run(*arguments, uid=None):
        options = containers.mount_options(containers.traits(client), folder)
        if uid is not None:
            options["user"] = uid
        return client.containers.run(build.PORT, arguments, network_mode="none", remove=True, **options).decode()

    run.folder = folder
    return run


def test_is_small(client):
    assert client.images.get(build.PORT).attrs["Size"] < LARGEST


def test_takes_a_command_with_and_without_its_name(rankiqa_in):
    assert rankiqa_in("rankiqa", "--help") == rankiqa_in("--help") == rankiqa_in()
    # A user without an entry in /etc/passwd, in a folder that this user cannot write
    assert rankiqa_in("--version", uid="54321:54321").startswith("rankiqa ")


def test_services(client):
    """Each service of the port in docker/compose.yaml runs in the image with the service's rights."""
    services = yaml.safe_load((build.ROOT / "docker" / "compose.yaml").read_text())["services"]
    rights = ("entrypoint", "network_mode", "cap_drop", "security_opt")
    seen = []
    for service in services.values():
        if service["image"] == build.PORT:
            options = {name: service[name] for name in rights}
            help_text = client.containers.run(build.PORT, ["--help"], user="54321:54321", remove=True, **options)
            assert help_text.decode().startswith("usage: "), service
            assert service["volumes"] == [".:/work"]
            seen.append(service["entrypoint"])
    assert [["rankiqa", name] for name in ("convert", "score", "train") if ["rankiqa", name] not in seen] == []


def test_scores_are_those_of_this_machine(rankiqa_in):
    rankiqa_in("convert", "w.caffemodel", "--trained-on", "live-rank", "--out", "w.safetensors")
    names = ["photo.jpg", *(f"photos/{path.name}" for path in sorted((rankiqa_in.folder / "photos").iterdir()))]
    lines = rankiqa_in("score", *names, "--weights", "w.safetensors", "--json").splitlines()
    model = rankiqa.load(rankiqa_in.folder / "w.safetensors")
    here = [rankiqa.score(model, rankiqa.read_image(rankiqa_in.folder / name)).score for name in names]
    in_image = [json.loads(line)["score"] for line in lines]
    tolerance = SCORES * (max(here) - min(here))
    assert tolerance > 0
    assert max(abs(a - b) for a, b in zip(here, in_image, strict=True)) < tolerance
    # Negative control: the score of other crops differs by more than the tolerance
    other = rankiqa.score(model, rankiqa.read_image(rankiqa_in.folder / names[0]), seed=1).score
    assert abs(other - in_image[0]) > tolerance


def test_trains(rankiqa_in):
    types = ("--types", "GB", "JPEG")
    rankiqa_in("distort", "--set", "live", "--images", "photos", "--out", "ranked", *types, "--levels", "1", "2")
    rankiqa_in("lists", "rank-live", "ranked", *types, "--levels", "2", "--out", "lists", "--split", "none")
    rankiqa_in("train", "live-rank", "--train", "lists/live_all.txt", "--out", "run", *TRAINING)
    snapshot = Path("run", "live-rank_iter_1.safetensors")
    assert (rankiqa_in.folder / snapshot).stat().st_uid != 0
    assert rankiqa.load(rankiqa_in.folder / snapshot).arch == "shallow"
    assert float(json.loads(rankiqa_in("score", "photo.jpg", "--weights", str(snapshot), "--json"))["score"])
