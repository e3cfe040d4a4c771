"""What a blob that is split and overwritten in place has as its diff. See docs/questions.md, which has it, too."""

import sys

import numpy as np

import caffe

net = caffe.Net("forced.prototxt", "tiny.caffemodel", caffe.TEST)
image = np.random.RandomState(0).randint(0, 256, (96, 96, 3))
net.blobs["data"].data[0] = (image - (123, 117, 104))[:, :, ::-1].transpose(2, 0, 1)
net.forward()
net.blobs["scores"].diff[...] = 0
net.blobs["scores"].diff[0, 12] = 1
net.backward(start="scores", end="conv2_conv2/relu_0_split")
above = net.blobs["conv2"].diff.copy()
copies = sum(net.blobs[name].diff for name in net.blobs if name.startswith("conv2_conv2/relu_0_split_"))
assert np.allclose(above, copies, rtol=1e-4, atol=1e-6 * np.abs(above).max())
net.backward(start="conv2/relu", end="conv2/bn")
below = net.blobs["conv2"].diff.copy()  # the same blob

np.savez(sys.argv[1], above=above, below=below)
