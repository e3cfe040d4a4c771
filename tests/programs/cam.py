"""CAM: the classes' weights after the global pooling, times the maps before it."""

import sys

import numpy as np
import PIL.Image

import caffe

net = caffe.Classifier("tiny.prototxt", "tiny.caffemodel", mean=np.float32([104, 117, 123]), raw_scale=255, channel_swap=(2, 1, 0))
image = np.float32(PIL.Image.open("sky.png").resize((96, 96))) / 255
crops = caffe.io.oversample([image], (88, 88))
net.blobs["data"].reshape(len(crops), 3, 88, 88)
net.transformer.inputs["data"] = (1, 3, 88, 88)
net.blobs["data"].data[...] = [net.transformer.preprocess("data", crop) for crop in crops]
probabilities = net.forward(blobs=["scores"])["prob"].mean(axis=0)

weights, bias = (p.data for p in net.params["scores"])
maps = net.blobs["mixed5"].data
best = np.argsort(-probabilities)[:3]
n, channels, height, width = maps.shape
cams = weights[best].dot(maps.transpose(1, 0, 2, 3).reshape(channels, -1)).reshape(3, n, height, width)
# right crops are mirrored views of the left ones
merged = (cams[:, :5] + cams[:, 5:, :, ::-1]).mean(axis=1)
grown = np.array([np.array(PIL.Image.fromarray(m).resize((96, 96), PIL.Image.BICUBIC)) for m in merged])
logits = cams.mean(axis=(2, 3)).T + bias[best]
assert np.allclose(logits, net.blobs["scores"].data[:, best], rtol=1e-3, atol=1e-3)
np.savez(sys.argv[1], best=best, grown=grown, logits=logits)
