"""LRP of two images for their highest classes, as scripts for the LRP toolbox's Caffe do it, by some of its formulas."""

import sys

import numpy as np

import caffe
from caffe import layers, params

spec = caffe.NetSpec()
spec.data = layers.Input(shape={"dim": [2, 3, 48, 48]})
spec.conv1 = layers.Convolution(spec.data, num_output=12, kernel_size=5, stride=2)
spec.relu1 = layers.ReLU(spec.conv1, in_place=True)
spec.pool1 = layers.Pooling(spec.relu1, pool=params.Pooling.MAX, kernel_size=3, stride=2)
spec.norm1 = layers.LRN(spec.pool1, local_size=5, alpha=1e-4, beta=0.75)
spec.conv2 = layers.Convolution(spec.norm1, num_output=16, kernel_size=3, pad=1, group=2)
spec.relu2 = layers.ReLU(spec.conv2, in_place=True)
spec.pool2 = layers.Pooling(spec.relu2, pool=params.Pooling.AVE, kernel_size=3, stride=2)
spec.fc3 = layers.InnerProduct(spec.pool2, num_output=20)
spec.relu3 = layers.ReLU(spec.fc3, in_place=True)
spec.drop3 = layers.Dropout(spec.relu3, in_place=True)
spec.fc4 = layers.InnerProduct(spec.drop3, num_output=6)
spec.prob = layers.Softmax(spec.fc4)
with open("small.prototxt", "w") as f:
    f.write("force_backward: true\n" + str(spec.to_proto()))

caffe.set_mode_cpu()
net = caffe.Net("small.prototxt", caffe.TEST)
random = np.random.RandomState(4)
for blobs in net.params.values():
    for blob in blobs:
        blob.data[...] = random.uniform(-1, 1, blob.data.shape) * (6.0 / max(blob.data[0].size, 6)) ** 0.5
for i, name in enumerate(("sky.png", "guide.png")):
    image = caffe.io.resize_image(caffe.io.load_image(name), (48, 48))
    net.blobs["data"].data[i] = (image * 255 - (123, 117, 104))[:, :, ::-1].transpose(2, 0, 1)
classes = net.forward()["prob"].argmax(axis=1)

options = caffe.RelPropOpts()
options.codeexectype = 0
options.lrn_backward_type = 1
options.maxpoolingtoavgpoolinginbackwardpass = 0
options.biastreatmenttype = 0
options.firstlayerindex = 0
options.lastlayerindex = -2
options.auxiliaryvariable_maxlayerindexforflatdistinconv = 1
options.epsstab = 0.01
options.alphabeta_beta = 1.0

found = {"classes": classes}
for formula in (0, 2, 54, 100, 102, 114, 11, 26):
    options.relpropformulatype = formula
    relevance = net.lrp(classes, options)
    assert relevance.shape == (2, 3, 48, 48)
    found["formula %d" % formula] = relevance.sum(axis=1)
np.savez(sys.argv[1], **found)
