"""Excitation backprop and its contrast, as scripts for that fork of Caffe do it."""

import sys

import numpy as np

import caffe

caffe.set_mode_eb_cpu()
net = caffe.Net("tiny.prototxt", "tiny.caffemodel", caffe.TEST)
image = caffe.io.resize_image(caffe.io.load_image("sky.png"), (96, 96))
net.blobs["data"].data[0] = (image * 255 - (123, 117, 104))[:, :, ::-1].transpose(2, 0, 1)
top, second, bottom = "scores", "pool5", "pool3"
net.forward(end=top)
prior = np.zeros((1, 32), np.float32)
prior[0, 12] = 1


def part(sign):
    """Send the prior from the top to the blob below it, by its weights or by their opposite."""
    net.params[top][0].data[...] *= sign
    net.blobs[top].diff[...] = prior
    net.backward(start=top, end=top)
    net.params[top][0].data[...] *= sign
    return net.blobs[second].diff.copy()


def down(signal):
    net.blobs[second].diff[...] = signal
    net.backward(start=second, end=bottom)
    return net.blobs[bottom].diff[0].sum(axis=0).copy()


pro, con = part(1), part(-1)
attention, contrast = down(pro), np.maximum(down(pro - con), 0)

softmax = np.exp(net.blobs[top].data - net.blobs[top].data.max())
net.blobs[top].diff[...] = softmax / softmax.sum()
net.backward(start=top, end="conv2")
everything = net.blobs["mixed5"].diff[0].sum(axis=0).copy()

caffe.set_mode_dc_cpu()
net.blobs[top].diff[...] = prior
guided = np.abs(net.backward(start=top)["data"][0]).max(axis=0)
caffe.set_mode_cpu()
net.blobs[top].diff[...] = prior
gradient = np.abs(net.backward(start=top)["data"][0]).max(axis=0)
np.savez(sys.argv[1], pro=pro, con=con, attention=attention, contrast=contrast, everything=everything, guided=guided, gradient=gradient)
