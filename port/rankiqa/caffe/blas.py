"""Matrix products summed in Caffe's order: with them, training on the CPU gives Caffe's weights bit for bit.

Two BLAS libraries sum in different orders, so their last bits differ. Training amplifies the difference until the
weights have nothing in common. Caffe in the container uses OpenBLAS with its Haswell kernels. OpenCV's wheel, which the
port needs anyway, contains an OpenBLAS with the same kernels. This module calls it as Caffe does: one image at a time,
through im2col columns. It is slower than PyTorch's own products (`scripts/bench train`) and runs on the CPU only.
PyTorch's idle threads spin on the cores that BLAS needs. Setting OMP_WAIT_POLICY=passive in the environment before
torch is imported makes this twice as fast.

Source: Caffe 1.0 base_conv_layer.cpp, inner_product_layer.cpp (behaviour, not code).
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import MethodType

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rankiqa.caffe.layers import LRN
from rankiqa.caffe.sgd import CaffeSGD

CORE = "Haswell"  # the same as in docker/caffe_cpu.Dockerfile
MOST_THREADS = 64  # the maximum that Debian's OpenBLAS is built for
ROWS, PLAIN, TRANSPOSED = 101, 111, 112  # CBLAS's enum values
# (m, n, k) of products of every kind that the networks need, and the SHA-256 of their results from the Docker image's
# OpenBLAS 0.3.13 with one thread and with two, which differ (parity_tests/rungs/test_same_blas.py computes them again)
CHECKED = ((64, 1000, 576), (512, 196, 4608), (32, 1, 4608), (48, 700, 4096), (1, 1, 32), (7, 129, 27))
DIGESTS = {
    1: "414068eb440631ff7f3382dfbdbf878be4061fb3bd04112de7ef19636c584c79",
    2: "971ae70e59401012ced0c35d2a2b7644df1b7417a991b34715a527b7c8b61a55",
}


class CaffeBlas:
    """An OpenBLAS whose products equal those of Caffe's OpenBLAS.

    Args:
        threads: The number of threads that Caffe used, or None for one per core of this process, which is Caffe's
            default. The division of the work among threads changes the last bits, so Caffe itself trains to other
            weights on another number of cores.
        path: A shared library of OpenBLAS with Haswell kernels, or None for the one in OpenCV's wheel.

    Raises:
        ValueError: If no library is found, the processor lacks AVX2, or the products differ from Caffe's.
    """

    def __init__(self, threads: int | None = None, path: str | os.PathLike | None = None):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = min(cores, MOST_THREADS) if threads is None else threads
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ValueError(f"Caffe's products: expected 1 thread or more, got {threads!r}")
        if platform.machine() != "x86_64" or torch.backends.cpu.get_cpu_capability() == "DEFAULT":
            raise ValueError(f"Caffe's products: expected an x86-64 processor with AVX2, got {platform.machine()}")
        path = Path(path) if path else _opencv_openblas()
        self._library = _loaded(path)
        self._library.cblas_sdot.restype = ctypes.c_float
        got = {number: self.digest(number) for number in DIGESTS}
        if got != DIGESTS:
            raise ValueError(f"{path}: expected an OpenBLAS that sums as Caffe's (0.3.13; 0.3.15 does), got another")
        self._library.openblas_set_num_threads(threads)
        self.threads = self._library.openblas_get_num_threads()

    def digest(self, threads: int) -> str:
        """Return a SHA-256 (hex) of products of every kind; a library that sums in another order has another digest."""
        self._library.openblas_set_num_threads(threads)
        random, products = np.random.RandomState(0), hashlib.sha256()
        for m, n, k in CHECKED:
            for transposed in ((False, False), (False, True), (True, False)):
                shapes = [(k, m) if transposed[0] else (m, k), (n, k) if transposed[1] else (k, n)]
                a, b = (torch.from_numpy(random.randint(-(2**23), 2**23, s).astype(np.float32)) for s in shapes)
                product = torch.empty(m, n)
                self.gemm(a, b, product, transposed=transposed)
                products.update(product.numpy().tobytes())
        return products.hexdigest()

    def apply_to(self, model: nn.Module) -> None:
        """Make a module compute its convolutions and fully-connected layers with this library, forward and backward."""
        for layer in model.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                function = _Convolution if isinstance(layer, nn.Conv2d) else _Linear
                layer.forward = MethodType(
                    lambda self, x, blas=self, function=function: function.apply(blas, self, x, self.weight, self.bias),
                    layer,
                )
            elif isinstance(layer, LRN):
                layer.as_torch = True  # keeps the rounding that trainings with this library have always had

    def limit(self, optimizer: CaffeSGD, model: nn.Module) -> None:
        """Make an optimizer's clip_gradients use Caffe's norm. The optimizer must hold all parameters of the module."""
        parameters = list(model.parameters())  # in layer order, like Caffe
        optimizer.norm = lambda: self.norm(p.grad for p in parameters if p.grad is not None)

    def gemm(
        self, a: Tensor, b: Tensor, c: Tensor, *, transposed: tuple[bool, bool] = (False, False), beta: float = 0.0
    ) -> None:
        """Compute c = a b + beta c in place for contiguous float32 matrices; `transposed` transposes a or b first."""
        (m, k), n = (a.shape[::-1] if transposed[0] else a.shape), c.shape[1]
        for matrix in (a, b, c):
            assert matrix.is_contiguous() and matrix.dtype == torch.float32 and matrix.device.type == "cpu"
        order = [TRANSPOSED if turned else PLAIN for turned in transposed]
        self._library.cblas_sgemm(
            ROWS, *order, m, n, k, ctypes.c_float(1), *_matrix(a), *_matrix(b), ctypes.c_float(beta), *_matrix(c)
        )  # fmt: skip

    def norm(self, tensors: Iterable[Tensor]) -> float:
        """Return the joint L2 norm of several tensors, summed like Caffe: each tensor's squares, then these sums.

        All sums are float32.
        """
        total = np.float32(0)
        for tensor in tensors:
            flat = tensor.contiguous()
            pointer = ctypes.c_void_p(flat.data_ptr())
            total += np.float32(self._library.cblas_sdot(flat.numel(), pointer, 1, pointer, 1))
        return float(np.sqrt(total))

    def sum_rows(self, matrix: Tensor, total: Tensor, *, transposed: bool = False) -> None:
        """Add the sum of each row (transposed: of each column) to `total`, computed as a product with ones."""
        rows, columns = matrix.shape
        ones = torch.ones(rows if transposed else columns)
        self._library.cblas_sgemv(
            ROWS, TRANSPOSED if transposed else PLAIN, rows, columns, ctypes.c_float(1), *_matrix(matrix),
            ctypes.c_void_p(ones.data_ptr()), 1, ctypes.c_float(1), ctypes.c_void_p(total.data_ptr()), 1,
        )  # fmt: skip


def _opencv_openblas() -> Path:
    """Find the OpenBLAS in OpenCV's wheel."""
    import cv2

    site = Path(cv2.__file__).resolve().parent.parent
    for library in sorted(site.glob("opencv_python*.libs/libopenblas*.so*")):
        return library
    raise ValueError(f"Caffe's products: expected the OpenBLAS of OpenCV's wheel below {site}, got none: name one")


def _loaded(path: Path) -> ctypes.CDLL:
    """Load the library with its Haswell kernels."""
    before = os.environ.get("OPENBLAS_CORETYPE")
    os.environ["OPENBLAS_CORETYPE"] = CORE  # OpenBLAS reads it when it is loaded
    try:
        # Load a copy, because OpenCV has already loaded the library itself with this processor's kernels
        with tempfile.TemporaryDirectory(prefix="rankiqa-") as folder:
            library = ctypes.CDLL(shutil.copy(path, folder))
        library.openblas_get_corename.restype = ctypes.c_char_p
        core = library.openblas_get_corename().decode()
    except (OSError, AttributeError) as error:
        raise ValueError(f"{path}: expected an OpenBLAS, got: {error}") from None
    finally:
        if before is None:
            del os.environ["OPENBLAS_CORETYPE"]
        else:
            os.environ["OPENBLAS_CORETYPE"] = before
    if core.upper() != CORE.upper():
        raise ValueError(f"{path}: expected an OpenBLAS with {CORE}'s kernels, got {core}'s")
    return library


def _matrix(tensor: Tensor) -> tuple[ctypes.c_void_p, int]:
    return ctypes.c_void_p(tensor.data_ptr()), tensor.shape[1]


class _Convolution(torch.autograd.Function):
    """A convolution computed per image and group as a product with im2col columns."""

    @staticmethod
    def forward(ctx, blas, layer, x, weight, bias):
        ctx.blas, ctx.layer, x = blas, layer, x.contiguous()
        ctx.save_for_backward(x, weight)
        geometry = zip(x.shape[2:], layer.padding, layer.kernel_size, layer.stride, strict=True)
        size = [(side + 2 * pad - kernel) // stride + 1 for side, pad, kernel, stride in geometry]
        out = x.new_empty(len(x), len(weight), *size)
        for image, top in zip(x, out, strict=True):
            columns = _columns(layer, image)
            for w, part, target in _groups(layer, weight.flatten(1), columns, top.flatten(1)):
                blas.gemm(w, part, target)
        return out.add_(bias[:, None, None])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        blas, layer, grad = ctx.blas, ctx.layer, grad.contiguous()
        flat = weight.flatten(1)
        d_weight, d_bias = torch.zeros_like(flat), flat.new_zeros(len(flat))
        d_x = torch.empty_like(x) if ctx.needs_input_grad[2] else None
        for n, image in enumerate(x):
            top = grad[n].flatten(1)
            blas.sum_rows(top, d_bias)
            columns = _columns(layer, image)
            for d, t, part in _groups(layer, d_weight, top, columns):
                blas.gemm(t, part, d, transposed=(False, True), beta=1.0)
            if d_x is None:
                continue
            d_columns = torch.empty_like(columns)
            for w, t, part in _groups(layer, flat, top, d_columns):
                blas.gemm(w, t, part, transposed=(True, False))
            d_x[n] = F.fold(d_columns[None], x.shape[2:], padding=layer.padding, kernel_size=layer.kernel_size,
                            stride=layer.stride)[0]  # fmt: skip
        return None, None, d_x, d_weight.view_as(weight), d_bias


def _columns(layer, image):
    """Return the im2col matrix of an image: one row per weight of a filter, one column per output position."""
    (down, across), (rows, columns), (step, stride) = layer.padding, layer.kernel_size, layer.stride
    padded = F.pad(image, (across, across, down, down)) if down or across else image
    windows = padded.unfold(1, rows, step).unfold(2, columns, stride)  # C H' W' rows columns
    return windows.permute(0, 3, 4, 1, 2).reshape(len(image) * rows * columns, -1)


def _groups(layer, *matrices):
    return zip(*(matrix.chunk(layer.groups) for matrix in matrices), strict=True)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, blas, layer, x, weight, bias):
        ctx.blas = blas
        ctx.save_for_backward(x, weight)
        out = x.new_empty(len(x), len(weight))
        blas.gemm(x.contiguous(), weight, out, transposed=(False, True))
        return out.add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (x, weight), grad = ctx.saved_tensors, grad.contiguous()
        x = x.contiguous()
        d_weight, d_bias, d_x = torch.zeros_like(weight), weight.new_zeros(len(weight)), torch.empty_like(x)
        ctx.blas.gemm(grad, x, d_weight, transposed=(True, False), beta=1.0)
        ctx.blas.sum_rows(grad, d_bias, transposed=True)
        ctx.blas.gemm(grad, weight, d_x)
        return None, None, d_x, d_weight, d_bias
