"""The gradient of several layers at once, tile by tile over a picture that is rolled under the tiles."""

import os

os.environ["GLOG_minloglevel"] = "2"
import sys

import numpy as np
import PIL.Image

import caffe

EPS = np.finfo(np.float32).eps


class Model:
    def __init__(self, deploy, weights, mean):
        self.mean = np.float32(mean)[:, None, None]
        caffe.set_random_seed(0)
        self.net = caffe.Net(deploy, 1, weights=weights)

    def layers(self):
        return [name for name in self.net.blobs.keys() if "_split_" not in name]

    def gradient(self, tile, wanted):
        net = self.net
        net.blobs["data"].reshape(1, 3, tile.shape[1], tile.shape[2])
        net.blobs["data"].data[0] = tile
        for name in net.blobs:
            net.blobs[name].diff[...] = 0
        order = [name for name in reversed(list(net.blobs.keys())) if name in wanted]
        net.forward(end=order[0])
        for i, name in enumerate(order):
            pull = wanted[name] * net.blobs[name].data[0]
            net.blobs[name].diff[0] += pull / (np.linalg.norm(pull) + EPS)
            if i + 1 == len(order):
                net.backward(start=name)
            else:
                net.backward(start=name, end=order[i + 1])
        return net.blobs["data"].diff[0].copy()

    def whole(self, image, wanted, size):
        total = np.zeros_like(image)
        ny, nx = -(-image.shape[1] // size), -(-image.shape[2] // size)
        for ys in np.array_split(np.arange(image.shape[1]), ny):
            for xs in np.array_split(np.arange(image.shape[2]), nx):
                box = (slice(None), slice(ys[0], ys[-1] + 1), slice(xs[0], xs[-1] + 1))
                total[box] = self.gradient(image[box], wanted)
        return total


model = Model("forced.prototxt", "tiny.caffemodel", (104, 117, 123))
image = np.float32(PIL.Image.open("sky.png")).transpose(2, 0, 1)[::-1] - model.mean
random = np.random.RandomState(0)
channels = np.linspace(0.5, 1.5, 208).astype(np.float32)[:, None, None]
wanted = {"mixed4": channels, "mixed3": 0.5, "pool1": 0.25}
for step in range(3):
    x, y = random.randint(-32, 33, 2)
    image = np.roll(np.roll(image, x, 2), y, 1)
    g = model.whole(image, wanted, 64)
    image = image + 1.5 * g / (np.abs(g).mean() + EPS)
    image = np.roll(np.roll(image, -x, 2), -y, 1)
    image = np.clip(image, -model.mean, 255 - model.mean)
np.savez(sys.argv[1], image=image, layers=np.array(model.layers()))
