"""Grad-CAM: force_backward goes into the prototxt; the class's diff goes in by the output's name, or at the logits."""

import sys

import numpy as np
import PIL.Image

import caffe

caffe.set_mode_cpu()
definition, layer = "tiny.prototxt", "mixed5"
if "force_backward" not in open(definition).read():
    with open(definition, "a") as f:
        f.write("\nforce_backward: true\n")

net = caffe.Net(definition, "tiny.caffemodel", caffe.TEST)
transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
transformer.set_transpose("data", (2, 0, 1))
transformer.set_mean("data", np.array([104, 117, 123]))
transformer.set_raw_scale("data", 255)
transformer.set_channel_swap("data", (2, 1, 0))
net.blobs["data"].reshape(1, 3, 96, 96)
net.blobs["data"].data[...] = transformer.preprocess("data", np.float32(PIL.Image.open("sky.png")) / 255)
output = net.forward()
predicted = output["prob"][0].argmax()
final = net.outputs[0]


def heat(gradient):
    activations = net.blobs[layer].data[0]
    weights = gradient.mean(axis=(1, 2))
    cam = np.zeros(activations.shape[1:], np.float32)
    for i in range(len(weights)):
        cam += weights[i] * activations[i]
    cam /= np.abs(cam).max()
    grown = np.array(PIL.Image.fromarray(cam).resize((96, 96), PIL.Image.BILINEAR))
    return grown if show_negative else np.maximum(grown, 0)


found = {"predicted": predicted}
for name, unit in (("top", predicted), ("other", np.argsort(output["prob"][0])[-2])):
    label = np.zeros((1, 32), np.float32)
    label[0, unit] = 1
    # both the diff of a layer in the middle and the image's
    diffs = net.backward(diffs=["data", layer], **{final: label})
    found[name + " keys"] = sorted(diffs)
    show_negative = False
    found[name] = heat(diffs[layer][0])
    found[name + " image"] = np.abs(diffs["data"][0]).max(axis=0) / np.abs(diffs["data"]).max()
    # the one-hot times what was predicted
    show_negative = True
    net.backward(**{final: label * output[final]})
    found[name + " scaled"] = heat(net.blobs[layer].diff[0])
    # from below the softmax
    net.blobs["scores"].diff[...] = label
    net.backward(start="scores", end="pool5")
    found[name + " logit"] = heat(net.blobs[layer].diff[0])
np.savez(sys.argv[1], **found)
