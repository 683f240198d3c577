"""What makes the port Caffe's: layers, random numbers, matrix products, the solver and the wording of its log.

Nothing here imports another part of rankiqa; layers take numbers, fillers take a shape, BLAS takes any module.
"""
