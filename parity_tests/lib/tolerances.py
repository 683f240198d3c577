"""How far the port may be from Caffe at each rung, and why it is not exactly there."""

EXACT = 0.0  # bytes, weights, indices: nothing is computed
LAYER = 1e-5  # of max|Caffe's blob|: float32 sums taken in another order (GEMM, LRN)
LAYER_ON_GPU = 1e-4  # the same with a GPU's sums, in yet another order, of any of its convolution algorithms
GRADIENT = 1e-4  # of max|Caffe's gradient|: the same through a whole backward pass
# Median error of a gradient over its mean size, where each engine decides near-ties by its own rounding: no parameter's
# gradient is compared value by value there, since one tie moves single values (test_gradients.py)
TYPICAL_GRADIENT = 1e-2
SCORE = 1e-5  # of the range of the scores: float32 sums in another order
CORRELATION = 1e-6  # SROCC and LCC: Caffe's scores are float32
STEP = 1e-6  # of max|Caffe's parameter|: one update from gradients summed in another order
STEPS_300 = 1e-5  # the same after 300 updates of a fixed batch
# Trainings with nothing exchanged but a seed: rounding, grown by the training itself (PRECISION.md)
LOSS_IN_TRAINING = 1e-3  # of max(loss, 1), at every iteration
SCORE_AFTER_TRAINING = 1e-2  # of the score range (or of max|parameter|), at the end
SROCC_AFTER_TRAINING = 2e-3
TRAINED_LOSS = 1e-4  # of max(loss, 1): 20 iterations of AlexNet, 3 of VGG-16
TRAINED_WEIGHTS = 1e-5  # of the layer's length: the same trainings
RESUMED = 1e-5  # of max|loss| and max|parameter|: a few iterations after a snapshot
PRINTED = 2e-5  # relative: six printed digits of numbers that were rounded otherwise
ROUNDED_LOSS = 5e-7  # of max(loss, 1): the last bits of a sum of dozens of float32 terms
