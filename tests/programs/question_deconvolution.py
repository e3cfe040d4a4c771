"""Zeiler's deconvnet by partial backward passes. See docs/questions.md, which has it, too."""

import sys

import numpy as np

import caffe

net = caffe.Net("forced.prototxt", "tiny.caffemodel", caffe.TEST)
image = np.random.RandomState(0).randint(0, 256, (96, 96, 3))
net.blobs["data"].data[0] = (image - (123, 117, 104))[:, :, ::-1].transpose(2, 0, 1)
net.forward()
names = list(net._layer_names)
relus = [i for i, layer in enumerate(net.layers) if layer.type == "ReLU"]

net.blobs["mixed4"].diff[...] = 0
net.blobs["mixed4"].diff[0, 100, 5, 6] = 1
at = names.index("mixed4")
for i in reversed([i for i in relus if i < at]):
    if at > i:
        net.backward(start=names[at], end=names[i + 1])  # down to the layer above this ReLU
    blob = net.blobs[net.bottom_names[names[i]][0]]
    blob.diff[...] = np.maximum(blob.diff, 0)
    at = i - 1
gradient = net.backward(start=names[at])["data"][0, ::-1].transpose(1, 2, 0).copy()

np.savez(sys.argv[1], gradient=gradient)
