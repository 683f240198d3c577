"""The parts of the port that reproduce Caffe: layers, random numbers, matrix products, solver and log wording.

Nothing here imports another part of rankiqa. Layers take numbers, fillers take a shape, and BLAS takes any module.
"""
