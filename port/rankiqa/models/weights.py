"""Weights files (.safetensors): `rankiqa convert` and the trainer write them, and `rankiqa.load` reads them.

The metadata contains the format, version, arch, fc and head, the meaning of the score (`score_meaning`), the network's
input (`colour_order`, `crop`), and the settings for scoring (`sampling`) if they differ from the original's. Keys that
begin with SOLVER belong to a training snapshot and are not weights.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from rankiqa.data.json_text import parse_json
from rankiqa.models import score_meaning, score_sampling
from rankiqa.models.architectures import ARCHITECTURES
from rankiqa.models.file_format import FORMAT, SOLVER, VERSION
from rankiqa.models.network import Network
from rankiqa.models.registry import build
from rankiqa.models.score_meaning import from_metadata
from rankiqa.models.score_sampling import sampling_of
from rankiqa.models.scorer import Scorer

SHIPPED = Path(__file__).parent / "shipped" / "wild_lite0.safetensors"  # CARD.md in this folder describes it


def load(path: str | os.PathLike | None = None) -> Scorer:
    """Load a network from a weights file or a training snapshot, in eval mode, on the CPU.

    `model.meaning` describes its score as far as the file does.

    Args:
        path: A .safetensors file from `rankiqa convert` or `rankiqa train`, or a folder that `save_pretrained` wrote.
            None for the model that is part of the package.

    Raises:
        ValueError: For a missing file, a file of another format, or one that does not contain exactly the network's
            parameters, all finite. The message names everything that is missing, unexpected or of a wrong shape. Also
            for a folder whose config.json is damaged or belongs to other weights.
    """
    if path is None:
        path = SHIPPED
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"path: expected a string or a path, got {type(path).__name__}")
    given, path = Path(path), file_of(path)
    metadata, state = read(path)
    if path != given:
        _check_config(given / "config.json", metadata)
    model = _described(metadata, path)
    check(state, model.state_dict(), path)
    for key, value in describe(model).items():
        if key in ("head", "colour_order", "crop") and metadata.get(key, value) != value:
            raise ValueError(f"{path}: {key}: expected {value}, which is what {model.arch} has, got {metadata[key]}")
    model.load_state_dict(state, assign=True)
    return model.requires_grad_().eval()


def file_of(path: str | os.PathLike) -> Path:
    """Return the weights file for a path: the path itself, or the file in a folder that `save_pretrained` wrote."""
    path = Path(path)
    inside = path / "model.safetensors"
    folder = any(os.path.isfile(file) for file in (inside, path / "config.json"))
    return inside if folder else path


def read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read a weights file, without the entries of a snapshot's solver.

    Args:
        path: The .safetensors file.

    Returns:
        The metadata and {key: tensor}.

    Raises:
        ValueError: If the file is missing, truncated or of another format.
    """
    if not os.path.isfile(path):  # opening a pipe would wait for its writer
        what = "a folder" if os.path.isdir(path) else "a device or a pipe" if os.path.exists(path) else "no such file"
        raise ValueError(f"{path}: expected converted weights (.safetensors), got {what}")
    if not os.access(path, os.R_OK):  # safetensors says "no such file"
        raise ValueError(f"{path}: expected converted weights (.safetensors), got a file that may not be read")
    try:
        with safe_open(path, framework="pt") as file:
            # The tensors are copied, because parameters must not change when the file does
            keys = (key for key in file.keys() if not key.startswith(SOLVER))  # noqa: SIM118
            return file.metadata() or {}, {key: file.get_tensor(key).clone() for key in keys}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path}: expected converted weights (.safetensors), got a truncated file or another kind ({error}); "
            "a caffemodel is converted by `rankiqa convert MODEL.caffemodel --out W.safetensors`"
        ) from None


def describe(model: Scorer) -> dict[str, str]:
    """Return the metadata for a weights file of this network."""
    spec = model.input_spec
    return {
        "format": FORMAT, "version": VERSION, "arch": model.arch, "fc": json.dumps(list(model.fc)), "head": model.head,
        "colour_order": spec.channel_order, "crop": str(spec.crop), **model.meaning.metadata(),
        **model.sampling.metadata(),
    }  # fmt: skip


def _check_config(path: Path, metadata: dict[str, str]) -> None:
    """Raise ValueError for a config.json that is damaged, or says something else than the weights beside it."""
    if not path.is_file():
        return
    try:
        config = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(config).__name__}")
    own = ("format", "version", "arch", "fc", "head", "colour_order", "crop")
    ours = (*own, *score_meaning.KEYS, *score_sampling.KEYS)
    stated = {key: config[key] for key in ours if config.get(key) is not None}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in stated.items()}
    other = [f"{key} {text!r} and {metadata.get(key)!r}" for key, text in texts.items() if text != metadata.get(key)]
    if other:
        raise ValueError(f"{path}: expected what model.safetensors says, got {', '.join(other)}")


def digest(model: Scorer) -> str:
    """Return the SHA-256 (hex) of a network's metadata and of the name, shape and values of each parameter."""
    sha256 = hashlib.sha256(json.dumps(describe(model), sort_keys=True).encode())
    for key, tensor in model.state_dict().items():
        sha256.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}".encode())
        sha256.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return sha256.hexdigest()


def _described(metadata: dict[str, str], path: Path) -> Scorer:
    """Build the network that a file's metadata names, without its parameters."""
    if metadata.get("format") != FORMAT or not {"arch", "fc"} <= set(metadata):
        raise ValueError(
            f"{path}: expected the metadata that `rankiqa convert` writes (format rankiqa, arch, fc), "
            f"got {sorted(metadata) or 'none'}: convert the original's caffemodel"
        )
    if metadata.get("version") != VERSION:
        raise ValueError(f"{path}: expected format version {VERSION}, got {metadata.get('version')}")
    try:
        fc = parse_json(metadata["fc"])
        if not isinstance(fc, list) or not all(isinstance(name, str) for name in fc):
            raise ValueError(f"fc: expected a list of names, got {metadata['fc']}")
        if (arch := metadata["arch"]) in ARCHITECTURES:
            model = Network(ARCHITECTURES[arch], fc)
        else:
            model = build(arch)
            if not isinstance(model, Scorer):
                raise ValueError(f"arch {arch}: expected a rankiqa.models.scorer.Scorer, got {type(model).__name__}")
        model.meaning, model.sampling = from_metadata(metadata), sampling_of(metadata)
        return model
    except ValueError as error:
        raise ValueError(f"{path}: metadata: {error}") from None


def check(state: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    """Raise ValueError unless names, shapes and dtypes are as expected and every value is finite."""
    wrong = [f"missing {key}" for key in expected if key not in state]
    wrong += [f"unexpected {key}" for key in state if key not in expected]
    for key in expected.keys() & state.keys():
        if state[key].shape != expected[key].shape or state[key].dtype != expected[key].dtype:
            wanted, got = (f"{tuple(t.shape)} {t.dtype}" for t in (expected[key], state[key]))
            wrong.append(f"{key}: expected {wanted}, got {got}")
        elif not torch.isfinite(state[key]).all():
            wrong.append(f"{key}: expected finite values, got nan or inf")
    if wrong:
        raise ValueError(f"{path}: " + "; ".join(sorted(wrong)))
