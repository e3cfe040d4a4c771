"""Guided backprop, and deconvolution, over net.backward(start=, end=) with ReLUs in place."""

import sys

import numpy as np
import PIL.Image

import caffe

net = caffe.Net("forced.prototxt", "tiny.caffemodel", caffe.TEST)
image = np.float32(PIL.Image.open("sky.png").resize((96, 96)))
net.blobs["data"].data[0] = image[:, :, ::-1].transpose(2, 0, 1) - np.float32([[[104]], [[117]], [[123]]])
names = list(net._layer_names)
relus = [i for i, layer in enumerate(net.layers) if layer.type == "ReLU"]


def pull_back(unit):
    net.forward()
    net.blobs["scores"].diff[...] = 0
    net.blobs["scores"].diff[0, unit] = 1
    at = names.index("scores")
    for i in reversed(relus):
        net.backward(start=names[at], end=names[i])
        blob = net.blobs[net.bottom_names[names[i]][0]]
        blob.diff[...] *= blob.diff > 0
        at = i - 1
    return net.backward(start=names[at])["data"][0].copy()


np.savez(sys.argv[1], **{"unit %d" % unit: pull_back(unit) for unit in (2, 7, 30)})
