"""The gradient of one filter with respect to the input. See docs/questions.md, which has it, too."""

import sys

import numpy as np

import caffe

net = caffe.Net("forced.prototxt", "tiny.caffemodel", caffe.TEST)
image = np.random.RandomState(0).randint(0, 256, (96, 96, 3))
net.blobs["data"].data[0] = (image - (123, 117, 104))[:, :, ::-1].transpose(2, 0, 1)  # blue, green, red, less their means
net.forward()
blob = net.blobs["conv2"]
blob.diff[...] = 0  # Caffe never clears it
blob.diff[0, 7] = 1.0 / (blob.height * blob.width)
net.backward(start="conv2/relu")
gradient = net.blobs["data"].diff[0, ::-1].transpose(1, 2, 0).copy()

np.savez(sys.argv[1], gradient=gradient)
