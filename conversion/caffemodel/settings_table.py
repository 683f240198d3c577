"""Caffe 1.0's layer settings, net states, fillers and enums.

Field names, numbers and types are those of Caffe 1.0's schema; the tests compare them with Caffe's own descriptor.
Table: message -> "name number type" per field; the type ends in * if the field is repeated.
"""

SETTINGS = {
    "AccuracyParameter": "top_k 1 uint32, axis 2 int32, ignore_label 3 int32",
    "ArgMaxParameter": "out_max_val 1 bool, top_k 2 uint32, axis 3 int32",
    "BatchNormParameter": "use_global_stats 1 bool, moving_average_fraction 2 float, eps 3 float",
    "BiasParameter": "axis 1 int32, num_axes 2 int32, filler 3 FillerParameter",
    "ClipParameter": "min 1 float, max 2 float",
    "ConcatParameter": "concat_dim 1 uint32, axis 2 int32",
    "ContrastiveLossParameter": "margin 1 float, legacy_version 2 bool",
    "ConvolutionParameter": "num_output 1 uint32, bias_term 2 bool, pad 3 uint32*, kernel_size 4 uint32*, group 5 "
    "uint32, stride 6 uint32*, weight_filler 7 FillerParameter, bias_filler 8 FillerParameter, pad_h 9 uint32, pad_w "
    "10 uint32, kernel_h 11 uint32, kernel_w 12 uint32, stride_h 13 uint32, stride_w 14 uint32, engine 15 Engine, "
    "axis 16 int32, force_nd_im2col 17 bool, dilation 18 uint32*",
    "CropParameter": "axis 1 int32, offset 2 uint32*",
    "DataParameter": "source 1 string, scale 2 float, mean_file 3 string, batch_size 4 uint32, crop_size 5 uint32, "
    "mirror 6 bool, rand_skip 7 uint32, backend 8 DB, force_encoded_color 9 bool, prefetch 10 uint32",
    "DropoutParameter": "dropout_ratio 1 float",
    "DummyDataParameter": "data_filler 1 FillerParameter*, num 2 uint32*, channels 3 uint32*, height 4 uint32*, "
    "width 5 uint32*, shape 6 BlobShape*",
    "ELUParameter": "alpha 1 float",
    "EltwiseParameter": "operation 1 EltwiseOp, coeff 2 float*, stable_prod_grad 3 bool",
    "EmbedParameter": "num_output 1 uint32, input_dim 2 uint32, bias_term 3 bool, weight_filler 4 FillerParameter, "
    "bias_filler 5 FillerParameter",
    "ExpParameter": "base 1 float, scale 2 float, shift 3 float",
    "FillerParameter": "type 1 string, value 2 float, min 3 float, max 4 float, mean 5 float, std 6 float, sparse 7 "
    "int32, variance_norm 8 VarianceNorm",
    "FlattenParameter": "axis 1 int32, end_axis 2 int32",
    "HDF5DataParameter": "source 1 string, batch_size 2 uint32, shuffle 3 bool",
    "HDF5OutputParameter": "file_name 1 string",
    "HingeLossParameter": "norm 1 Norm",
    "ImageDataParameter": "source 1 string, scale 2 float, mean_file 3 string, batch_size 4 uint32, crop_size 5 "
    "uint32, mirror 6 bool, rand_skip 7 uint32, shuffle 8 bool, new_height 9 uint32, new_width 10 uint32, is_color 11 "
    "bool, root_folder 12 string",
    "InfogainLossParameter": "source 1 string, axis 2 int32",
    "InnerProductParameter": "num_output 1 uint32, bias_term 2 bool, weight_filler 3 FillerParameter, bias_filler 4 "
    "FillerParameter, axis 5 int32, transpose 6 bool",
    "InputParameter": "shape 1 BlobShape*",
    "LRNParameter": "local_size 1 uint32, alpha 2 float, beta 3 float, norm_region 4 NormRegion, k 5 float, engine 6 "
    "Engine",
    "LogParameter": "base 1 float, scale 2 float, shift 3 float",
    "LossParameter": "ignore_label 1 int32, normalize 2 bool, normalization 3 NormalizationMode",
    "MVNParameter": "normalize_variance 1 bool, across_channels 2 bool, eps 3 float",
    "MemoryDataParameter": "batch_size 1 uint32, channels 2 uint32, height 3 uint32, width 4 uint32",
    "NetState": "phase 1 Phase, level 2 int32, stage 3 string*",
    "NetStateRule": "phase 1 Phase, min_level 2 int32, max_level 3 int32, stage 4 string*, not_stage 5 string*",
    "PReLUParameter": "filler 1 FillerParameter, channel_shared 2 bool",
    "ParameterParameter": "shape 1 BlobShape",
    "PoolingParameter": "pool 1 PoolMethod, kernel_size 2 uint32, stride 3 uint32, pad 4 uint32, kernel_h 5 uint32, "
    "kernel_w 6 uint32, stride_h 7 uint32, stride_w 8 uint32, pad_h 9 uint32, pad_w 10 uint32, engine 11 Engine, "
    "global_pooling 12 bool, round_mode 13 RoundMode",
    "PowerParameter": "power 1 float, scale 2 float, shift 3 float",
    "PythonParameter": "module 1 string, layer 2 string, param_str 3 string, share_in_parallel 4 bool",
    "ReLUParameter": "negative_slope 1 float, engine 2 Engine",
    "RecurrentParameter": "num_output 1 uint32, weight_filler 2 FillerParameter, bias_filler 3 FillerParameter, "
    "debug_info 4 bool, expose_hidden 5 bool",
    "ReductionParameter": "operation 1 ReductionOp, axis 2 int32, coeff 3 float",
    "ReshapeParameter": "shape 1 BlobShape, axis 2 int32, num_axes 3 int32",
    "SPPParameter": "pyramid_height 1 uint32, pool 2 PoolMethod, engine 6 Engine",
    "ScaleParameter": "axis 1 int32, num_axes 2 int32, filler 3 FillerParameter, bias_term 4 bool, bias_filler 5 "
    "FillerParameter",
    "SigmoidParameter": "engine 1 Engine",
    "SliceParameter": "slice_dim 1 uint32, slice_point 2 uint32*, axis 3 int32",
    "SoftmaxParameter": "engine 1 Engine, axis 2 int32",
    "SwishParameter": "beta 1 float",
    "TanHParameter": "engine 1 Engine",
    "ThresholdParameter": "threshold 1 float",
    "TileParameter": "axis 1 int32, tiles 2 int32",
    "TransformationParameter": "scale 1 float, mirror 2 bool, crop_size 3 uint32, mean_file 4 string, mean_value 5 "
    "float*, force_color 6 bool, force_gray 7 bool",
    "WindowDataParameter": "source 1 string, scale 2 float, mean_file 3 string, batch_size 4 uint32, crop_size 5 "
    "uint32, mirror 6 bool, fg_threshold 7 float, bg_threshold 8 float, fg_fraction 9 float, context_pad 10 uint32, "
    "crop_mode 11 string, cache_images 12 bool, root_folder 13 string",
}

# enum -> "name number" per value
ENUMS = {
    "VarianceNorm": "FAN_IN 0, FAN_OUT 1, AVERAGE 2",
    "DimCheckMode": "STRICT 0, PERMISSIVE 1",
    "NormalizationMode": "FULL 0, VALID 1, BATCH_SIZE 2, NONE 3",
    "Engine": "DEFAULT 0, CAFFE 1, CUDNN 2",
    "DB": "LEVELDB 0, LMDB 1",
    "EltwiseOp": "PROD 0, SUM 1, MAX 2",
    "Norm": "L1 1, L2 2",
    "NormRegion": "ACROSS_CHANNELS 0, WITHIN_CHANNEL 1",
    "PoolMethod": "MAX 0, AVE 1, STOCHASTIC 2",
    "RoundMode": "CEIL 0, FLOOR 1",
    "ReductionOp": "SUM 1, ASUM 2, SUMSQ 3, MEAN 4",
    "Phase": "TRAIN 0, TEST 1",
    "LayerType": "NONE 0, ABSVAL 35, ACCURACY 1, ARGMAX 30, BNLL 2, CONCAT 3, CONTRASTIVE_LOSS 37, CONVOLUTION 4, "
    "DATA 5, DECONVOLUTION 39, DROPOUT 6, DUMMY_DATA 32, EUCLIDEAN_LOSS 7, ELTWISE 25, EXP 38, FLATTEN 8, HDF5_DATA 9, "
    "HDF5_OUTPUT 10, HINGE_LOSS 28, IM2COL 11, IMAGE_DATA 12, INFOGAIN_LOSS 13, INNER_PRODUCT 14, LRN 15, "
    "MEMORY_DATA 29, MULTINOMIAL_LOGISTIC_LOSS 16, MVN 34, POOLING 17, POWER 26, RELU 18, SIGMOID 19, "
    "SIGMOID_CROSS_ENTROPY_LOSS 27, SILENCE 36, SOFTMAX 20, SOFTMAX_LOSS 21, SPLIT 22, SLICE 33, TANH 23, "
    "WINDOW_DATA 24, THRESHOLD 31",
}
