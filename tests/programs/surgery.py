"""Saliency by net surgery: a net with one class alone, its weights cut out of the whole net's."""

import sys

import numpy as np
import PIL.Image
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2

unit = 12
spec = text_format.Parse(open("tiny.prototxt").read(), caffe_pb2.NetParameter())
spec.force_backward = True
last = [layer for layer in spec.layer if layer.name == "scores"][0]
last.name, last.top[0], last.inner_product_param.num_output = "one", "one", 1
del spec.layer[-1]
open("one.prototxt", "w").write(str(spec))

whole = caffe.Net("tiny.prototxt", "tiny.caffemodel", caffe.TEST)
one = caffe.Net("one.prototxt", "tiny.caffemodel", caffe.TEST)
one.params["one"][0].data[...] = whole.params["scores"][0].data[unit : unit + 1]
one.params["one"][1].data[...] = whole.params["scores"][1].data[unit]
one.save("one.caffemodel")

net = caffe.Classifier("one.prototxt", "one.caffemodel", mean=np.float32([104, 117, 123]), raw_scale=255, channel_swap=(2, 1, 0))
image = np.float32(PIL.Image.open("sky.png")) / 255
ready = net.transformer.preprocess("data", image[:96, :96])
score = net.forward(data=ready[np.newaxis])["one"].copy()
grads = net.backward(one=np.ones((1, 1), np.float32))["data"]
saliency = np.abs(grads[0]).max(axis=0)
full = whole.forward(data=ready[np.newaxis], end="scores")["scores"][0, unit]
np.savez(sys.argv[1], score=score, full=full, saliency=saliency, predicted=net.predict([image], oversample=True))
