"""A saliency map of one class, from the logits. See docs/questions.md, which has it, too."""

import sys

import numpy as np

import caffe

net = caffe.Net("forced.prototxt", "tiny.caffemodel", caffe.TEST)
image = np.random.RandomState(0).randint(0, 256, (96, 96, 3))
net.blobs["data"].data[0] = (image - (123, 117, 104))[:, :, ::-1].transpose(2, 0, 1)
net.forward()
score = net.blobs["scores"].data[0, 12]
net.blobs["scores"].diff[...] = 0
net.blobs["scores"].diff[0, 12] = 1
gradient = net.backward(start="scores")["data"]  # backward(scores=...) takes outputs of the net alone
saliency = np.abs(gradient[0]).max(axis=0)

np.savez(sys.argv[1], saliency=saliency, score=score)
