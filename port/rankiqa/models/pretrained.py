"""Save and load a network as a folder with config.json and model.safetensors, the layout of Hugging Face's libraries.

`Network` has huggingface_hub's mixin: `model.save_pretrained(folder)`, `Network.from_pretrained(folder)`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from rankiqa.data.atomic_files import replacing
from rankiqa.models import weights

if TYPE_CHECKING:
    from rankiqa.models.scorer import Scorer

CONFIG, MODEL = "config.json", "model.safetensors"


def save(model: Scorer, folder: Path) -> None:
    """Write both files of a network, each atomically."""
    metadata = weights.describe(model)
    state = model.state_dict()
    # batch normalisation counts in whole numbers
    expected = {name: value.to(torch.float32) if value.is_floating_point() else value for name, value in state.items()}
    weights.check(state, expected, folder)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with replacing(folder / CONFIG) as config, replacing(folder / MODEL) as file:
        save_file(tensors, file, metadata)
        config.write_text(json.dumps(metadata, indent=1) + "\n", encoding="utf-8")


def load(model_id: str, map_location: str = "cpu", **options: Any) -> Scorer:
    """Load the network of a folder, or of a repository on the Hugging Face hub, in eval mode.

    Only the weights file is needed; config.json is for people and for the hub, but it must not contradict the weights.

    Args:
        model_id: A folder, or the repository's name on the hub.
        map_location: The device to move the network to.
        options: Options of huggingface_hub's download, such as `revision` and `cache_dir`.

    Raises:
        ValueError: As for `weights.load`.
    """
    if os.path.isdir(model_id):
        path = Path(model_id)
    else:
        from huggingface_hub import hf_hub_download

        known = ("revision", "cache_dir", "force_download", "token", "local_files_only")
        path = Path(hf_hub_download(model_id, MODEL, **{key: options[key] for key in known if key in options}))
    return weights.load(path).to(map_location)
