"""A net with layers and words of forks in it, which real Caffe 1.0 does not have."""

SSD = """name: "ssd"
input: "data"
input_shape { dim: 1 dim: 3 dim: 20 dim: 24 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" bn_param { eps: 0.5 } }
layer { name: "drop" type: "Dropout" bottom: "conv1" top: "conv1" dropout_param { scale_train: true } }
layer { name: "norm" type: "Normalize" bottom: "conv1" top: "norm" norm_param { across_spatial: false channel_shared: false } }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "loc" type: "Convolution" bottom: "norm" top: "loc"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "perm" type: "Permute" bottom: "loc" top: "perm" permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "drop2" type: "Dropout" bottom: "conv2" top: "drop2" dropout_param { scale_train: false } }
layer { name: "last" type: "ReLU" bottom: "drop2" top: "last" }
"""
