"""The port's matrix products by Caffe's own BLAS, called as Caffe calls it.

Two BLAS libraries sum in different orders, so their last bits differ, and a training makes that grow. With Caffe's
library under the port nothing is left of it: what still differs is the port's own doing.

Source: Caffe 1.0 base_conv_layer.cpp, inner_product_layer.cpp (behaviour, not code).
"""

import ctypes
import io
import os
import tarfile
from pathlib import Path
from types import MethodType

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

FOLDER = "/usr/lib/x86_64-linux-gnu"
# OpenBLAS, and before it what it needs
LIBRARIES = ("libquadmath.so.0.0.0", "libgfortran.so.5.0.0", "openblas-pthread/libopenblasp-r0.3.13.so")
CORE = "Haswell"  # as in docker/caffe_cpu.Dockerfile
ROWS, PLAIN, TRANSPOSED = 101, 111, 112  # CBLAS's own numbers


class Blas:
    """OpenBLAS out of the image, with the kernels and the number of threads that a container has."""

    def __init__(self, client, image, folder):
        """client: docker SDK client. folder: where the libraries are put."""
        container = client.containers.create(image)
        try:
            for library in LIBRARIES:
                stream, _ = container.get_archive(f"{FOLDER}/{library}")
                with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
                    (member,) = archive.getmembers()
                    Path(folder, Path(library).name).write_bytes(archive.extractfile(member).read())
        finally:
            container.remove()
        os.environ["OPENBLAS_CORETYPE"] = CORE  # read when the library is loaded
        for library in LIBRARIES:
            self._library = ctypes.CDLL(str(Path(folder, Path(library).name)), mode=ctypes.RTLD_GLOBAL)
        self._library.openblas_get_config.restype = ctypes.c_char_p
        self._library.openblas_get_corename.restype = ctypes.c_char_p

    @property
    def core(self):
        """The kernels in use."""
        return self._library.openblas_get_corename().decode()

    def gemm(self, a, b, c, *, transposed=(False, False), beta=0.0):
        """c = a b + beta c: float32 matrices (rows contiguous), a or b transposed first where told."""
        (m, k), n = (a.shape[::-1] if transposed[0] else a.shape), c.shape[1]
        for matrix in (a, b, c):
            assert matrix.is_contiguous() and matrix.dtype == torch.float32
        order = [TRANSPOSED if turned else PLAIN for turned in transposed]
        self._library.cblas_sgemm(
            ROWS, *order, m, n, k, ctypes.c_float(1), *_matrix(a), *_matrix(b), ctypes.c_float(beta), *_matrix(c)
        )  # fmt: skip

    def sum_rows(self, matrix, total, *, transposed=False):
        """total += the sum of each row (of each column, transposed), as a product with ones."""
        rows, columns = matrix.shape
        ones = torch.ones(rows if transposed else columns)
        self._library.cblas_sgemv(
            ROWS, TRANSPOSED if transposed else PLAIN, rows, columns, ctypes.c_float(1), *_matrix(matrix),
            ctypes.c_void_p(ones.data_ptr()), 1, ctypes.c_float(1), ctypes.c_void_p(total.data_ptr()), 1,
        )  # fmt: skip


def _matrix(tensor):
    return ctypes.c_void_p(tensor.data_ptr()), tensor.shape[1]


class _Convolution(torch.autograd.Function):
    """Image by image and group by group, through columns (im2col)."""

    @staticmethod
    def forward(ctx, blas, layer, x, weight, bias):
        ctx.blas, ctx.layer = blas, layer
        ctx.save_for_backward(x, weight)
        geometry = zip(x.shape[2:], layer.padding, layer.kernel_size, layer.stride, strict=True)
        size = [(side + 2 * pad - kernel) // stride + 1 for side, pad, kernel, stride in geometry]
        out = x.new_empty(len(x), len(weight), *size)
        for image, made in zip(x, out, strict=True):
            columns = _columns(layer, image)
            for w, part, target in _groups(layer, weight.flatten(1), columns, made.flatten(1)):
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
            for w, t, part in _groups(layer, flat, top, columns):  # the columns are overwritten
                blas.gemm(w, t, part, transposed=(True, False))
            d_x[n] = F.fold(columns[None], x.shape[2:], **_geometry(layer))[0]
        return None, None, d_x, d_weight.view_as(weight), d_bias


def _geometry(layer):
    return {"kernel_size": layer.kernel_size, "padding": layer.padding, "stride": layer.stride}


def _columns(layer, image):
    return F.unfold(image[None], **_geometry(layer))[0].contiguous()


def _groups(layer, *matrices):
    return zip(*(matrix.chunk(layer.groups) for matrix in matrices), strict=True)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, blas, x, weight, bias):
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
        return None, d_x, d_weight, d_bias


def use(blas, model):
    """Have a network's convolutions and fully-connected layers computed by `blas`, forward and backward."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.forward = MethodType(lambda self, x: _Convolution.apply(blas, self, x, self.weight, self.bias), layer)
        elif isinstance(layer, nn.Linear):
            layer.forward = MethodType(lambda self, x: _Linear.apply(blas, x, self.weight, self.bias), layer)
