"""How far the port may be from Caffe, and why it is not exactly there."""

EXACT = 0.0  # bytes, weights, indices: nothing is computed
LAYER = 1e-5  # float32 sums taken in another order (GEMM, LRN), of max|Caffe's blob|
GRADIENT = 1e-4  # the same through a whole backward pass, of max|Caffe's gradient|
UNAIDED = 1e-2  # median error of a gradient over its mean size, with rounding's own choices (test_gradients.py)
SCORE = 1e-5  # of the range of the scores
CORRELATION = 1e-6  # SROCC and LCC
STEP = 1e-6  # of max|Caffe's parameter|: one update from gradients summed in another order
STEPS_300 = 1e-5  # the same after 300 updates of a fixed batch
LOSS_WALK = 1e-3  # of max(loss, 1), at every iteration of a training with nothing exchanged
SCORE_WALK = 1e-2  # of the score range (or of max|parameter|), at the end of it
SROCC_WALK = 2e-3
TRAINED_LOSS = 1e-4  # 20 iterations of AlexNet, 3 of VGG-16
TRAINED_WEIGHTS = 1e-5
RESUMED = 1e-5  # a few iterations after a snapshot, of max|loss| and max|parameter|
PRINTED = 2e-5  # six digits, and rounding behind them
ROUNDED_LOSS = 5e-7  # a sum of dozens of float32 terms, its last bits
