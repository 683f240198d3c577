"""Damaged model files, snapshots, lists, images and settings, and the commands that must survive them.

`prepare(folder)` makes undamaged files of every kind, in a separate process. `calls(kind, folder, n, seed)` yields
commands on n damaged copies for `fault_survey.survey`.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from lib.mutations import mutations

ADDRESS_SPACE = 12 << 30  # bytes; enough for an image that claims the largest size that OpenCV allows
ANY_SIZE = 1 << 40  # no memory limit from the file's size: a decoded image is larger than its file
SHAPE = ["--arch", "shallow", "--set=batch=2", "--set=max_iter=0", "--set=snapshot=0", "--set=display=0",
         "--set=test_interval=0"]  # fmt: skip
WHOLE = "undamaged"
KINDS = ("caffemodel", "snapshot", "list", "image", "settings")


def prepare(folder: Path) -> None:
    """Make the undamaged files in a folder, as KIND/NAME, and other files that the commands need."""
    command = [sys.executable, __file__, str(folder)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})


def _prepare(folder: Path) -> None:
    import cv2
    import numpy as np
    from PIL import Image

    import rankiqa
    from rankiqa.cli import main
    from rankiqa.models.weights import describe
    from rankiqa.training import snapshots

    for kind in KINDS:
        (folder / kind).mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 31, 3), np.uint8)
    pixels = cv2.resize(pixels, (240, 232), interpolation=cv2.INTER_CUBIC)
    image = Image.fromarray(pixels)
    for suffix in ("jpg", "png", "bmp", "tif", "webp", "ppm", "jp2"):
        image.save(folder / "image" / f"whole.{suffix}")
    image.save(folder / "image" / "progressive.jpg", progressive=True, exif=image.getexif())
    image.convert("P").save(folder / "image" / "palette.png")
    image.convert("CMYK").save(folder / "image" / "cmyk.tif", compression="tiff_lzw")
    cv2.imwrite(str(folder / "image" / "deep.png"), pixels.astype(np.uint16) * 257)
    (folder / "photographs").mkdir()
    image.save(folder / "photographs" / "p.png")
    lines = "".join(f"../photographs/p.png {n}\n" for n in range(7))
    (folder / "list" / "whole.txt").write_text(lines)
    model = rankiqa.build("shallow", fc=("fc1",))
    snapshots.save(folder / "weights.safetensors", describe(model), model.state_dict(), {}, {})
    out = folder / "run"
    assert main(["train", "live-ft", "--train", str(folder / "list" / "whole.txt"), "--root", str(folder / "list"),
                 "--out", str(out), *SHAPE]) == 0  # fmt: skip
    shutil.copy(out / "live-ft_iter_0.safetensors", folder / "snapshot" / "whole.safetensors")
    assert main(["convert", str(folder / "weights.safetensors"), "--to", "caffemodel", "--like", "live-ft", "--out",
                 str(folder / "caffemodel" / "whole.caffemodel")]) == 0  # fmt: skip
    assert main([*_distort(folder), "--types", "GB", "--levels", "1"]) == 0
    for number, path in enumerate(path for path in (folder / "set").rglob("*") if path.is_file() and _is_text(path)):
        place = folder / "settings" / f"{number}.json"
        shutil.copy(path, place)
        place.with_suffix(".where").write_text(str(path))


def _is_text(path: Path) -> bool:
    with contextlib.suppress(UnicodeDecodeError, ValueError):
        return bool(path.read_text().strip())
    return False


def _distort(folder: Path) -> list[str]:
    return ["distort", "--set", "live", "--images", str(folder / "photographs"), "--out", str(folder / "set"), "--json",
            "--min-side", "32"]  # fmt: skip


def calls(kind: str, folder: Path, n: int, seed: int) -> Iterator[tuple[str, int, Callable[[], int]]]:
    """Yield (name, size that bounds the memory, call) for n damaged copies of the files of a kind.

    Each undamaged file comes first and must give a right answer. These calls have no memory limit, since the first one
    pays for what torch sets up once.
    """
    whole = sorted(path for path in (folder / kind).iterdir() if path.suffix != ".where")
    rng = random.Random(f"{seed} {kind}")
    form = {"caffemodel": "protobuf", "snapshot": "safetensors", "list": "text", "settings": "json"}.get(kind, "bytes")
    for path in whole:
        yield f"{WHOLE} {path.name}", ANY_SIZE, partial(_give, kind, folder, path, path.read_bytes(), 1.0)
    for i in range(n):
        path, coin = rng.choice(whole), rng.random()
        ((name, content),) = mutations(path.read_bytes(), 1, f"{seed} {i}", form)
        size = len(content) if kind in ("caffemodel", "snapshot") else ANY_SIZE

        def call(path: Path = path, coin: float = coin, number: int = i) -> int:
            # Make the copy again here: a thousand copies would not fit into memory
            ((_, content),) = mutations(path.read_bytes(), 1, f"{seed} {number}", form)
            return _give(kind, folder, path, content, coin)

        yield f"{path.name} {i} {name}", size, call


def _give(kind: str, folder: Path, path: Path, content: bytes, coin: float) -> int:
    """Write a damaged copy and run a command on it."""
    import torch

    from rankiqa.cli import main

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    damaged = work / f"damaged{path.suffix}"
    damaged.write_bytes(content)
    photograph = [] if kind == "image" else [str(folder / "photographs" / "p.png")]
    score = ["score", *photograph, "--crops", "1", "--weights"]
    train = ["train", "live-ft", "--root", str(folder / "list"), "--out", str(work / "out"), *SHAPE, "--train"]
    whole_list = str(folder / "list" / "whole.txt")
    if kind == "caffemodel":
        if coin < 0.2:
            return main([*score, str(damaged)])
        if coin < 0.5:
            return main(["convert", "inspect", str(damaged), "--json"])
        return main(["convert", str(damaged), "--out", str(work / "w.safetensors"), "--json"])
    if kind == "snapshot":
        if coin < 0.4:
            return main([*score, str(damaged)])
        option = "--weights" if coin < 0.5 else "--resume"
        return main([*train, whole_list, "--no-check", option, str(damaged)])
    if kind == "list":
        return main([*train, str(damaged)])
    if kind == "image":
        if coin < 0.7 or coin == 1.0:
            return main([*score, str(folder / "weights.safetensors"), str(damaged)])
        if coin < 0.85:
            return main(
                ["show", "distortions", "--image", str(damaged), "--set", "live", "--out", str(work / "p.html")]
            )
        (work / "list.txt").write_text(f"{damaged} 1\n" * 7)
        return main([*train, str(work / "list.txt")])
    place = Path(path.with_suffix(".where").read_text())
    kept = place.read_bytes()
    try:
        place.write_bytes(content)
        return main([*_distort(folder), "--types", "GB", "--levels", "1"])
    finally:
        place.write_bytes(kept)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make whole files to damage.")
    parser.add_argument("folder", type=Path)
    _prepare(parser.parse_args().folder)
    print(json.dumps({"kinds": KINDS}))
