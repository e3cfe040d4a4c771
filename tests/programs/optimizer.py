"""Gradient ascent with decay and blur over the deep visualization toolbox's calls: forward_all, backward_from_layer."""

import sys

import numpy as np
import PIL.Image
from scipy.ndimage import gaussian_filter

import caffe

mean = np.float32([104.0, 117.0, 123.0])
net = caffe.Classifier("forced.prototxt", "tiny.caffemodel", mean=mean, raw_scale=1.0)
mean = mean[:, np.newaxis, np.newaxis]
net.blobs["data"].reshape(1, 3, 96, 96)
start = np.float32(PIL.Image.open("sky.png"))[:96, :96].transpose(2, 0, 1) - mean
found = {}
for layer, unit in (("scores", (5,)), ("conv2", (9, 7, 11)), ("mixed3", (40, 5, 6))):
    x = start.copy()
    for i in range(3):
        x = np.clip(x + mean, 0, 255) - mean
        out = net.forward_all(data=x[np.newaxis])
        activations = net.blobs[layer].data[0]
        found["%s %d" % (layer, i)] = np.array(activations[unit])
        diffs = np.zeros_like(net.blobs[layer].diff[0])
        diffs[unit] = 1.0
        back = net.backward_from_layer(layer, diffs[np.newaxis] if diffs.ndim == 3 else diffs[np.newaxis, :])
        grad = back["data"].copy().reshape(x.shape)
        if np.linalg.norm(grad) == 0:
            break
        x = (x + 10.0 / np.abs(grad).max() * grad) * (1 - 0.01)
        if i % 2 == 0:
            x = gaussian_filter(x, (0, 0.7, 0.7))
    found[layer] = x
    found[layer + " prob"] = out["prob"]
np.savez(sys.argv[1], **found)
