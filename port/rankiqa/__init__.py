"""RankIQA (ICCV 2017) in PyTorch: no-reference image quality by learning to rank, held to the original Caffe system.

Names are looked up when they are first used, so that `import rankiqa` and the command line start without torch.
"""

import importlib

__version__ = "0.1.0"

_HOME = {
    "build": "networks",
    "load": "networks",
    "pair_ranking_loss": "losses",
    "contrastive_loss": "losses",
    "euclidean_loss": "losses",
    "read_image": "images",
    "ImageError": "images",
    "crop_offsets": "crops",
    "take_crops": "crops",
    "score": "scoring",
    "Score": "scoring",
    "CaffeRandom": "caffe_random",
    "CaffeBlas": "caffe_blas",
    "CaffeSGD": "solver",
    "LearningRate": "solver",
    "PRESETS": "presets",
    "Trainer": "training",
    "srocc": "metrics",
    "lcc": "metrics",
    "distort": "distortions",
}
_MODULES = {
    "architectures",
    "layers",
    "networks",
    "losses",
    "images",
    "photographs",
    "crops",
    "scoring",
    "metrics",
    "distortions",
    "caffe_blas",
    "caffe_random",
    "solver",
    "data",
    "presets",
    "training",
    "snapshots",
    "memory",
}

__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"rankiqa.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"rankiqa.{_HOME[name]}"), name)
    raise AttributeError(f"module 'rankiqa' has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]
