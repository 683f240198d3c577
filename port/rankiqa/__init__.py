"""RankIQA (ICCV 2017) in PyTorch: no-reference image quality by learning to rank, tested against the original Caffe.

    model = rankiqa.load("FT_live.safetensors")
    result = rankiqa.score(model, rankiqa.read_image("photo.jpg"))

Every public function takes and returns images as uint8 (H, W, 3) RGB. Names are imported when they are first used, so
the command line starts without torch. Editors and type checkers see the imports below.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rankiqa import (
        caffe,
        data,
        datasets,
        distortions,
        evaluation,
        layers,
        losses,
        metrics,
        models,
        ranked_sets,
        scoring,
    )
    from rankiqa import caffe_random as caffe_random
    from rankiqa import hub as hub
    from rankiqa import pyiqa as pyiqa
    from rankiqa import training as training
    from rankiqa.caffe.blas import CaffeBlas
    from rankiqa.caffe.random_stream import CaffeRandom
    from rankiqa.caffe.sgd import CaffeSGD, LearningRate
    from rankiqa.data.crops import crop_offsets, take_crops
    from rankiqa.data.images import ImageError, read_image, read_image_with_notes
    from rankiqa.data.input_spec import InputSpec
    from rankiqa.distortions import distort
    from rankiqa.losses import contrastive_loss, euclidean_loss, pair_ranking_loss
    from rankiqa.metrics import LogisticFit, fit_logistic, krocc, lcc, rmse, srocc
    from rankiqa.models.network import Network
    from rankiqa.models.registry import build
    from rankiqa.models.score_meaning import ScoreMeaning
    from rankiqa.models.weights import load
    from rankiqa.scoring.image_score import Score, score
    from rankiqa.scoring.many import score_many
    from rankiqa.scoring.metric import Metric, metric
    from rankiqa.scoring.torch_to_onnx import export_onnx
    from rankiqa.training.presets import PRESETS
    from rankiqa.training.trainer import Trainer

# Public name: the module that defines it
_HOME = {
    "build": "models.registry",
    "load": "models.weights",
    "Network": "models.network",
    "ScoreMeaning": "models.score_meaning",
    "pair_ranking_loss": "losses",
    "contrastive_loss": "losses",
    "euclidean_loss": "losses",
    "read_image": "data.images",
    "read_image_with_notes": "data.images",
    "ImageError": "data.images",
    "InputSpec": "data.input_spec",
    "crop_offsets": "data.crops",
    "take_crops": "data.crops",
    "score": "scoring.image_score",
    "Score": "scoring.image_score",
    "score_many": "scoring.many",
    "CaffeRandom": "caffe.random_stream",
    "CaffeBlas": "caffe.blas",
    "CaffeSGD": "caffe.sgd",
    "LearningRate": "caffe.sgd",
    "PRESETS": "training.presets",
    "Trainer": "training.trainer",
    "srocc": "metrics",
    "lcc": "metrics",
    "krocc": "metrics",
    "rmse": "metrics",
    "fit_logistic": "metrics",
    "LogisticFit": "metrics",
    "metric": "scoring.metric",
    "Metric": "scoring.metric",
    "export_onnx": "scoring.torch_to_onnx",
    "distort": "distortions",
}
_PARTS = (
    "caffe", "caffe_random", "data", "datasets", "distortions", "evaluation", "hub", "layers", "losses", "metrics",
    "models", "pyiqa", "ranked_sets", "scoring", "training",
)  # fmt: skip

__all__ = [
    "PRESETS", "CaffeBlas", "CaffeRandom", "CaffeSGD", "ImageError", "InputSpec", "LearningRate", "LogisticFit",
    "Metric", "Network", "Score", "ScoreMeaning", "Trainer", "build", "caffe", "caffe_random", "contrastive_loss",
    "crop_offsets", "data", "datasets", "distort", "distortions", "euclidean_loss", "evaluation", "export_onnx",
    "fit_logistic", "hub", "krocc", "layers", "lcc", "load", "losses", "metric", "metrics", "models",
    "pair_ranking_loss", "pyiqa", "ranked_sets", "read_image", "read_image_with_notes", "rmse", "score", "score_many",
    "scoring", "srocc", "take_crops", "training",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":  # read from the installed package, so that only pyproject.toml states it
        from importlib.metadata import version  # imported late: it is slower than everything else that --help needs

        return version("rankiqa")
    if name in _PARTS:
        return importlib.import_module(f"rankiqa.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"rankiqa.{_HOME[name]}"), name)
    raise AttributeError(f"module 'rankiqa' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
