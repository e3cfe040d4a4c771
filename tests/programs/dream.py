"""A dream over octaves, as notebooks of 2015 do it: a Classifier over an edited prototxt, jitter, L2 and guided objectives."""

import sys

import numpy as np
import PIL.Image
import scipy.ndimage as nd
from google.protobuf import text_format

import caffe

out = sys.argv[1]
model = caffe.io.caffe_pb2.NetParameter()
text_format.Merge(open("tiny.prototxt").read(), model)
model.force_backward = True
open("tmp.prototxt", "w").write(str(model))
net = caffe.Classifier("tmp.prototxt", "tiny.caffemodel", mean=np.float32([104.0, 117.0, 123.0]), channel_swap=(2, 1, 0))


def into(net, image):
    return np.float32(np.rollaxis(image, 2)[::-1]) - net.transformer.mean["data"]


def outof(net, image):
    return np.dstack((image + net.transformer.mean["data"])[::-1])


def l2(dst):
    dst.diff[:] = dst.data


def guided(features):
    def objective(dst):
        x = dst.data[0].copy()
        ch = x.shape[0]
        x = x.reshape(ch, -1)
        best = x.T.dot(features.reshape(ch, -1)).argmax(1)
        dst.diff[0].reshape(ch, -1)[:] = features.reshape(ch, -1)[:, best]

    return objective


def step(net, end, objective, size=1.5, jitter=8):
    src, dst = net.blobs["data"], net.blobs[end]
    ox, oy = np.random.randint(-jitter, jitter + 1, 2)
    src.data[0] = np.roll(np.roll(src.data[0], ox, -1), oy, -2)
    net.forward(end=end)
    objective(dst)
    net.backward(start=end)
    g = src.diff[0]
    src.data[:] += size / np.abs(g).mean() * g
    src.data[0] = np.roll(np.roll(src.data[0], -ox, -1), -oy, -2)
    bias = net.transformer.mean["data"]
    src.data[:] = np.clip(src.data, -bias, 255 - bias)


def dream(net, base, end, objective, iterations=2, octaves=3, scale=1.4):
    levels = [into(net, base)]
    for _ in range(octaves - 1):
        levels.append(nd.zoom(levels[-1], (1, 1.0 / scale, 1.0 / scale), order=1))
    src = net.blobs["data"]
    detail = np.zeros_like(levels[-1])
    for octave, level in enumerate(levels[::-1]):
        h, w = level.shape[-2:]
        if octave > 0:
            h1, w1 = detail.shape[-2:]
            detail = nd.zoom(detail, (1, 1.0 * h / h1, 1.0 * w / w1), order=1)
        src.reshape(1, 3, h, w)
        src.data[0] = level + detail
        for _ in range(iterations):
            step(net, end, objective)
        detail = src.data[0] - level
    return outof(net, src.data[0])


np.random.seed(1)
sky = np.float32(PIL.Image.open("sky.png"))
found = {"plain": dream(net, sky, "mixed3", l2)}
guide = np.float32(PIL.Image.open("guide.png"))
net.blobs["data"].reshape(1, 3, guide.shape[0], guide.shape[1])
net.blobs["data"].data[0] = into(net, guide)
net.forward(end="mixed4")
found["guided"] = dream(net, sky, "mixed4", guided(net.blobs["mixed4"].data[0].copy()), iterations=1, octaves=2)
np.savez(out, **found)
