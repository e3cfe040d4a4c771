"""A class score and its gradient for scipy. See docs/questions.md, which has it, too."""

import sys

import numpy as np
from scipy.optimize import minimize

import caffe

net = caffe.Net("forced.prototxt", "tiny.caffemodel", caffe.TEST)
image = np.random.RandomState(0).randint(0, 256, (96, 96, 3))
x = (image - (123, 117, 104))[:, :, ::-1].transpose(2, 0, 1).ravel().astype(np.float64)


def score_and_gradient(x):
    net.blobs["data"].data[...] = x.reshape(net.blobs["data"].data.shape)
    net.forward()
    net.blobs["scores"].diff[...] = 0
    net.blobs["scores"].diff[0, 12] = 1
    gradient = net.backward(start="scores")["data"]
    return -float(net.blobs["scores"].data[0, 12]), -gradient.ravel().astype(np.float64)


value, slope = score_and_gradient(x)
better = minimize(score_and_gradient, x, jac=True, method="L-BFGS-B", options={"maxiter": 3})

np.savez(sys.argv[1], value=value, slope=slope)
