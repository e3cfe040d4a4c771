"""Python layers that tests name in their nets; in real Caffe they run as they are, beside its own ``caffe``."""

import sys

import numpy as np

caffe = sys.modules["caffe"] if "caffe" in sys.modules else __import__("dreamopt.caffe", fromlist=["caffe"])


class Tenfold(caffe.Layer):
    """y = 10 x."""

    def setup(self, bottom, top):
        if len(bottom) != 1:
            raise ValueError("one bottom, please")

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = 10 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = 10 * top[0].diff


class Thirds(caffe.Layer):
    """y = x / 3, in place only: it gives its top no shape."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        top[0].data[...] /= 3

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] /= 3


class Square(Thirds):
    """y = -x^2, in place only: its gradient needs what it wrote."""

    def forward(self, bottom, top):
        self.sign = np.sign(bottom[0].data)
        top[0].data[...] *= -top[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] *= -2 * self.sign * np.sqrt(-top[0].data)


class Power(Tenfold):
    """y = x^p, with p in param_str; remembers x."""

    def setup(self, bottom, top):
        self.power = float(self.param_str)

    def forward(self, bottom, top):
        self.x = bottom[0].data.copy()
        top[0].data[...] = self.x**self.power

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = self.power * self.x ** (self.power - 1) * top[0].diff


class Bias(Tenfold):
    """y = x + b, b learned: one number for each channel."""

    def setup(self, bottom, top):
        self.blobs.add_blob(bottom[0].channels)
        self.blobs[0].data[...] = np.arange(bottom[0].channels) + 1

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data + self.blobs[0].data[:, np.newaxis, np.newaxis]

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += top[0].diff.sum(axis=(0, 2, 3))
        bottom[0].diff[...] = top[0].diff


class Pair(caffe.Layer):
    """Sum and difference of two bottoms."""

    def setup(self, bottom, top):
        self.calls = []

    def reshape(self, bottom, top):
        self.calls.append("reshape")
        for i in range(len(top)):
            top[i].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        self.calls.append("forward")
        top[0].data[...] = bottom[0].data + bottom[1].data
        top[1].data[...] = bottom[0].data - bottom[1].data

    def backward(self, top, propagate_down, bottom):
        self.calls.append("backward")
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = top[0].diff + sign * top[1].diff


class Counter(caffe.Layer):
    """A data layer: one image after another, and its number."""

    def setup(self, bottom, top):
        self.n = 0
        self.channels = int(self.param_str or 2)
        top[0].reshape(1, self.channels, 5, 7)
        top[1].reshape(1)

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        self.n += 1
        top[0].data[...] = self.n * np.arange(self.channels * 35).reshape(1, self.channels, 5, 7)
        top[1].data[0] = self.n

    def backward(self, top, propagate_down, bottom):
        pass


class Recorder(caffe.Layer):
    """A source that has neither bottoms nor weights, and keeps account of its turns."""

    def setup(self, bottom, top):
        self.calls = []
        top[0].reshape(2, 3, 5, 4)

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        self.calls.append("forward")
        top[0].data[...] = 5

    def backward(self, top, propagate_down, bottom):
        self.calls.append("backward" + str(len(propagate_down)))


class Weighty(Recorder):
    """A source that has a weight."""

    def setup(self, bottom, top):
        Recorder.setup(self, bottom, top)
        self.blobs.add_blob(3)


class Phase(caffe.Layer):
    """Writes the phase; has no backward pass."""

    def reshape(self, bottom, top):
        top[0].reshape()

    def setup(self, bottom, top):
        pass

    def forward(self, bottom, top):
        top[0].data[()] = self.phase


class Distance(caffe.Layer):
    """A loss: half the squared distance of two bottoms by number of items."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            raise ValueError("the bottoms differ in size")
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.d = bottom[0].data - bottom[1].data
        top[0].data[...] = (self.d**2).sum() / bottom[0].num / 2

    def backward(self, top, propagate_down, bottom):
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * top[0].diff[0] * self.d / bottom[0].num


class Raises(caffe.Layer):
    """Fails when it is set up."""

    def setup(self, bottom, top):
        raise RuntimeError("no")


class Forgetful(Tenfold):
    """Overrides the constructor and does not call the base class's."""

    def __init__(self, *args, **kwargs):
        self.made = True


not_a_layer = 7
