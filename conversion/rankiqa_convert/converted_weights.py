"""Write the .safetensors files that the port loads, and convert them back to nets."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from caffemodel import Blob, CaffemodelError, Net, array_blob, read
from caffemodel.files import head
from caffemodel.message import text_of
from rankiqa.data.input_spec import InputSpec
from rankiqa.models.architectures import ARCHITECTURES, Architecture, known_nets
from rankiqa.models.file_format import FORMAT, SOLVER, VERSION
from rankiqa.models.score_meaning import KEYS, ScoreMeaning
from rankiqa_convert.expected_layers import deploy_net
from rankiqa_convert.file_digest import FileDigest
from rankiqa_convert.recognise import Match, layer_types

PARTS = ("weight", "bias")
_TYPES = {"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"}  # safetensors' names


def write_safetensors(match: Match, source: Path, digest: FileDigest, target: Path) -> dict:
    """Write a recognised model's weights, blob by blob.

    Args:
        match: The model.
        source: Its file.
        digest: The digest of `source`, which is computed in parallel.
        target: The .safetensors to write.

    Returns:
        The summary that --json prints.

    Raises:
        CaffemodelError: If values are not finite. The message lists all blobs with such values.
    """
    types, shapes = layer_types(match.arch, match.fc), match.arch.parameter_shapes(match.fc)
    summary = {"arch": match.arch.name, "head": match.head, "fc": list(match.fc), "source_sha256": "0" * 64}
    description = describe(match)
    summary["layers"] = [
        {
            "name": name,
            "type": types[name],
            "blobs": [{"shape": list(shape), "dtype": "float32", "sha256": "0" * 64} for shape in shapes[name]],
        }
        for name in match.blobs
    ]
    broken = []
    with open(target, "wb") as file:
        size = file.write(_header(summary, source, description))
        for layer in summary["layers"]:
            for k, blob in enumerate(match.blobs[layer["name"]]):
                layer["blobs"][k]["sha256"], finite = blob.summary(file.write)
                if not finite:
                    broken.append(f"{layer['name']} blob {k}")
        summary["source_sha256"] = digest.hexdigest()
        final = _header(summary, source, description)  # now with the digests, whose length was known before
        assert len(final) == size
        file.seek(0)
        file.write(final)
    if broken:
        raise CaffemodelError(f"{source}: expected finite values, got nan or inf in {', '.join(broken)}")
    return {**summary, "structure": match.structure, "meaning": meaning_dict(match.meaning)}


def describe(match: Match) -> dict[str, str]:
    """Return the metadata of a weights file: its network, the input it expects and the meaning of its score."""
    return {
        "format": FORMAT, "version": VERSION, "arch": match.arch.name, "head": match.head,
        "fc": json.dumps(list(match.fc)), "colour_order": InputSpec(match.arch.crop).channel_order,
        "crop": str(match.arch.crop), "structure": match.structure, **match.meaning.metadata(),
    }  # fmt: skip


def meaning_dict(meaning: ScoreMeaning) -> dict | None:
    """Return a meaning as a dict for --json; None if nothing is known."""
    return {key: getattr(meaning, key) for key in KEYS} if meaning != ScoreMeaning() else None


def _header(summary: dict, source: Path, description: dict[str, str]) -> bytes:
    """Return a safetensors header: 8 bytes of length, then JSON, padded with spaces to a multiple of 8."""
    metadata = {
        **description,
        "source_name": text_of(os.fsencode(source.name)),
        "source_sha256": summary["source_sha256"],
        "layers": json.dumps(summary["layers"]),
    }
    header, at = {"__metadata__": metadata}, 0
    for layer in summary["layers"]:
        for part, blob in zip(PARTS, layer["blobs"], strict=True):
            end = at + 4 * int(np.prod(blob["shape"]))
            header[f"{layer['name']}.{part}"] = {"dtype": "F32", "shape": blob["shape"], "data_offsets": [at, end]}
            at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Read a safetensors file.

    Returns:
        (metadata, {name: array}).

    Raises:
        CaffemodelError: If the file is something else or cut off.
    """
    from safetensors import SafetensorError, safe_open  # imported here because converting from Caffe does not need it

    head(path)
    try:
        with safe_open(path, framework="numpy") as file:
            keys = list(file.keys())
            types = {key: file.get_slice(key).get_dtype() for key in keys}
            strange = [f"{key} ({kind})" for key, kind in types.items() if kind not in _TYPES]
            if strange:
                raise CaffemodelError(f"{path}: expected real numbers of NumPy's types, got {', '.join(strange)}")
            return file.metadata() or {}, {key: file.get_tensor(key) for key in keys}
    except CaffemodelError:
        raise
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise CaffemodelError(f"{path}: expected a safetensors file, got something else ({error})") from None


def _network(metadata: dict[str, str], path: Path) -> Architecture:
    """The network that a weights file says it is. Raises CaffemodelError for another version, or a contradiction."""
    if metadata.get("format") != FORMAT or metadata.get("arch") not in ARCHITECTURES:
        raise CaffemodelError(
            f"{path}: expected weights of `rankiqa convert` or `rankiqa train`, got other metadata: {sorted(metadata)}"
        )
    if metadata.get("version") != VERSION:
        raise CaffemodelError(f"{path}: expected format version {VERSION}, got {metadata.get('version')}")
    architecture = ARCHITECTURES[metadata["arch"]]
    expected = {"colour_order": InputSpec(architecture.crop).channel_order, "crop": str(architecture.crop)}
    for key, value in expected.items():
        if metadata.get(key, value) != value:
            raise CaffemodelError(f"{path}: {key}: expected {value}, got {metadata[key]}")
    return architecture


def to_net(path: Path, like: str) -> Net:
    """Convert the port's weights back to a net.

    Args:
        path: The .safetensors.
        like: One of the original's nets (live-rank, tid2013-rank, live-ft, tid2013-ft), or the path of a model file
            whose structure is used.

    Raises:
        CaffemodelError: If the layers differ or values are not finite float32. The message lists every missing and
            unexpected layer and every wrong shape, or the layers with such values.
    """
    metadata, arrays = read_safetensors(path)
    arrays = {name: array for name, array in arrays.items() if not name.startswith(SOLVER)}
    architecture = _network(metadata, path)
    spoiled = [name for name, a in arrays.items() if a.dtype != np.float32 or not np.isfinite(a).all()]
    if spoiled:
        raise CaffemodelError(f"{path}: expected finite float32 values, got others in {', '.join(spoiled)}")
    nets = known_nets(architecture)
    if like not in nets and not os.path.exists(like):
        raise CaffemodelError(f"--like: expected one of {', '.join(nets)}, or a model file, got {like}")
    net = read(like) if like not in nets else None
    types: dict[str, str] = {}
    blobs: dict[str, Blob] = {}
    if net is None:
        types = layer_types(architecture, nets[like])
        shapes = architecture.parameter_shapes(nets[like])
        expected = {f"{name}.{part}": shapes[name][k] for name in types for k, part in enumerate(PARTS)}
    else:
        names = [layer.name for layer in net.layers if layer.blobs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CaffemodelError(f"{like}: expected distinct layers, got two with weights under one name: {twice}")
        blobs = {
            f"{layer.name}.{PARTS[k] if k < 2 else k}": blob
            for layer in net.layers
            for k, blob in enumerate(layer.blobs)
        }
        expected = {name: blob.shape for name, blob in blobs.items()}
    problems = [f"missing {name}" for name in expected if name not in arrays]
    problems += [f"unexpected {name}" for name in arrays if name not in expected]
    for name in expected.keys() & arrays.keys():
        fits = arrays[name].shape == expected[name] if net is None else blobs[name].fits(arrays[name].shape)
        if not fits:
            problems.append(f"{name}: expected {expected[name]}, got {arrays[name].shape}")
    if problems:
        raise CaffemodelError(f"{path}: expected the layers of {like}, got: " + "; ".join(sorted(problems)))
    if net is None:
        parts = {name: [array_blob(arrays[f"{name}.{part}"]) for part in PARTS] for name in types}
        return deploy_net(f"rankiqa-{architecture.name}-{like}", architecture, nets[like], parts)
    for name, blob in blobs.items():
        blob.assign(arrays[name])
    return net
