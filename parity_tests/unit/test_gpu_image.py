"""The image caffe_ref:gpu without a GPU: the cards that its libraries have code for, its errors, the driver's cache.

The tests need the image (`docker/build.py --gpu`); RANKIQA_GPU_IMAGE=NAME uses another image without a check. The PTX
is compiled with the `ptxas` of PyPI's nvidia-cuda-nvcc (or RANKIQA_PTXAS=FILE), as a driver does at first use.
"""

import importlib.util
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import build
import containers
import engine
from caffe_client import CaffeError, Live

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "docker" / "cuda_architectures"
CARDS = (60, 61, 70, 75, 80, 86, 89, 90)
LIBRARIES = "/usr/lib/x86_64-linux-gnu"


@pytest.fixture
def listing(tmp_path):
    """run(*arguments) -> (exit status, stdout, stderr) of cuda_architectures with a fake cuobjdump."""
    dump = tmp_path / "cuobjdump"
    dump.write_text(
        "#!/bin/sh\ncase $1 in\n"
        "--list-elf) for n in 60 60 86 90a; do echo ELF file 1: libx.so.1.sm_$n.cubin; done;;\n"
        "--list-ptx) [ $2 = with.so ] && echo PTX file 1: libx.so.1.sm_90.ptx || exit 1;;\nesac\n"
    )
    dump.chmod(0o755)

    def run(*arguments):
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, env=environment)
        return done.returncode, done.stdout, done.stderr

    return run


def test_what_is_listed_and_what_is_missing(listing):
    lines = "with cubin sm_60 2\nwith cubin sm_86 1\nwith cubin sm_90a 1\nwith ptx sm_90 1\n"
    assert listing("with.so") == (0, lines, "")
    assert listing("with.so", "--need", "with:60.cubin 86.cubin 90.ptx") == (0, lines, "")
    missing = {"with:61.cubin": "cubin of sm_61", "with:90.cubin": "cubin of sm_90", "with:86.ptx": "ptx of sm_86",
               "other:60.cubin": "cubin of sm_60"}  # fmt: skip
    for need, code in missing.items():
        status, _, stderr = listing("with.so", "--need", "with:60.cubin", "--need", need)
        assert (status, stderr.strip()) == (1, f"cuda_architectures: {need.split(':')[0]}: no {code}")
    assert listing("without.so", "--need", "without:90.ptx")[0] == 1


@pytest.fixture(scope="module")
def image():
    """(Docker client, name of the image)."""
    try:
        client = engine.answering()
    except engine.NoEngine as error:
        pytest.skip(str(error))
    if client is None:
        pytest.skip(f"no Docker engine answers; {engine.how_to()}")
    name = os.environ.get("RANKIQA_GPU_IMAGE")
    if name is None and not build.up_to_date(client, build.GPU, build.AUTO):
        pytest.skip(f"no {build.GPU} that is made from these files; docker/build.py --gpu makes it")
    yield client, name or build.GPU
    client.close()


def container(image, command, folder, place="/work", **options):
    """Run a command with a folder of the host mounted at `place` and return (exit status, output)."""
    client, name = image
    mounts = containers.mount_options(containers.traits(client), Path(folder))
    mounts["volumes"][str(folder)]["bind"] = place
    running = client.containers.run(name, command, detach=True, network_mode="none", **mounts, **options)
    try:
        return running.wait()["StatusCode"], running.logs().decode()
    finally:
        running.remove(force=True)


@pytest.mark.slow
def test_its_libraries_have_code_for_every_card(image, tmp_path):
    status, text = container(image, ["cat", "/opt/caffe_cuda/cuda_architectures.txt"], tmp_path)
    assert status == 0
    codes = {tuple(line.split()[:3]) for line in text.splitlines()}
    assert {("libcaffe", "cubin", f"sm_{card}") for card in CARDS} <= codes
    assert {("libcublas", "cubin", f"sm_{card}") for card in CARDS if card != 89} <= codes
    assert {("libcaffe", "ptx", "sm_90"), ("libcublas", "ptx", "sm_90"), ("libcurand", "ptx", "sm_90")} <= codes


@pytest.mark.slow
@pytest.mark.parametrize("place", ["/work", "/opt/RankIQA/models", "/cuda_cache"])
def test_the_drivers_cache_is_in_the_mounted_folder(image, tmp_path, place):
    show = ["sh", "-c", 'echo "$CUDA_CACHE_PATH $CUDA_CACHE_MAXSIZE" && mkdir "$CUDA_CACHE_PATH"']
    assert container(image, show, tmp_path, place) == (0, f"{place}/.cuda {4 << 30}\n")
    assert (tmp_path / ".cuda").is_dir()
    own = {"CUDA_CACHE_PATH": "/tmp/own"}
    assert container(image, show, tmp_path, place, environment=own)[1].startswith("/tmp/own ")


@pytest.mark.slow
def test_without_a_gpu_it_says_so_in_a_line(image, tmp_path):
    client, name = image
    with pytest.raises(CaffeError) as raised:
        Live(client, image=name).run(["caffe", "device_query", "-gpu", "0"], tmp_path)
    lines = str(raised.value).splitlines()
    assert lines[0].endswith("exit status 1")
    assert len(lines) == 2 and lines[1].startswith("caffe device_query: ") and "--gpus all" in lines[1]
    assert "caffe version" in Live(client, image=name).run(["caffe", "--version"], tmp_path)


def ptxas():
    """Return the newest PTX assembler on this machine, or skip the test."""
    if path_given := os.environ.get("RANKIQA_PTXAS"):
        return Path(path_given)
    package = importlib.util.find_spec("nvidia")
    for folder in package.submodule_search_locations if package else ():
        for path in sorted(Path(folder).glob("cu*/bin/ptxas"), reverse=True):
            return path
    pytest.skip("no ptxas: pip install nvidia-cuda-nvcc, or RANKIQA_PTXAS=FILE")


@pytest.mark.slow
@pytest.mark.parametrize("library", ["libcaffe.so.1.0.0", "libcublas.so.11"])
def test_every_ptx_compiles_for_the_newest_cards(image, tmp_path, library):
    """A newer driver compiles the PTX when it first runs the library on a card newer than the library."""
    assembler = ptxas()
    command = ["/opt/caffe_cuda/cuobjdump", "-xptx", "all", f"{LIBRARIES}/{library}"]
    status, output = container(image, command, tmp_path, working_dir="/work")
    assert status == 0, output
    modules = sorted(tmp_path.glob("*.ptx"))
    assert modules and all("sm_90" in path.name for path in modules)
    known = subprocess.run([assembler, "--help"], capture_output=True, text=True, check=True).stdout
    cards = {int(number) for number in re.findall(r"'sm_(\d+)'", known)}
    newest = {max(card for card in cards if card // 10 == generation) for generation in {card // 10 for card in cards}}
    newest = sorted(card for card in newest if card > max(CARDS))
    assert newest, f"expected an assembler that knows later cards than sm_{max(CARDS)}, got {sorted(cards)}"

    def compile_for(work):
        card, path = work
        out = path.with_suffix(f".{card}.cubin")
        done = subprocess.run([assembler, f"-arch=sm_{card}", path, "-o", out], capture_output=True, text=True)
        out.unlink(missing_ok=True)
        return None if done.returncode == 0 else f"sm_{card} {path.name}: {done.stderr.strip().splitlines()[:1]}"

    work = [(card, path) for card in newest for path in modules]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        failed = [line for line in pool.map(compile_for, work) if line]
    print(f"{library}: {len(modules)} modules for {', '.join(f'sm_{card}' for card in newest)}, {len(failed)} failed")
    assert not failed
