"""Tolerances of the comparisons with Caffe, each with the reason why it is not 0."""

EXACT = 0.0  # bytes, weights, indices: no rounding is involved
LAYER = 1e-5  # of max|Caffe's blob|: float32 values are added in another order (GEMM, LRN)
LAYER_ON_GPU = 1e-4  # the same on a GPU, whose convolution algorithms add in yet other orders
GRADIENT = 1e-4  # of max|Caffe's gradient|: the same through a whole backward pass
# Median error of a gradient over its mean size, where each engine decides near-ties by its own rounding. Gradients are
# not compared value by value there, since one tie moves single values (test_gradients.py)
TYPICAL_GRADIENT = 1e-2
SCORE = 1e-5  # of the range of the scores: float32 values are added in another order
# The same for single crops of VGG-16, with random weights, without AVX-512. PyTorch's kernels for AVX2 add up to 4,608
# products one after another: compared with float64, the port errs by 1.0e-5 and Caffe by 3.9e-6
SCORE_OF_VGG16S_CROP_WITH_AVX2 = 2e-5
CORRELATION = 1e-6  # SROCC and LCC: Caffe's scores are float32
STEP = 1e-6  # of max|Caffe's parameter|: one update with gradients that are summed in another order
STEPS_300 = 1e-5  # the same after 300 updates of a fixed batch
# Trainings that share only a seed: the training itself amplifies rounding (PRECISION.md)
LOSS_IN_TRAINING = 1e-3  # of max(loss, 1), at every iteration
SCORE_AFTER_TRAINING = 1e-2  # of the score range (or of max|parameter|), at the end
SROCC_AFTER_TRAINING = 2e-3
TRAINED_LOSS = 1e-4  # of max(loss, 1): 20 iterations of AlexNet, 3 of VGG-16
TRAINED_WEIGHTS = 1e-5  # of the layer's length: the same trainings
RESUMED = 1e-5  # of max|loss| and max|parameter|: a few iterations after a snapshot
PRINTED = 2e-5  # relative: six printed digits of numbers that were rounded differently
ROUNDED_LOSS = 5e-7  # of max(loss, 1): the last bits of a sum of dozens of float32 terms
