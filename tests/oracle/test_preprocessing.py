"""What Caffe's data layers make of an image is what the network makes of it, by the same prototxt."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamopt.errors import DreamoptWarning
from dreamopt.network import load_net
from dreamopt.schema.caffe_pb2 import BlobProto, BlobShape
from tests.support.oracle.harness import Oracle

NET = """layer {{ name: "data" type: "ImageData" top: "data" top: "label"
  transform_param {{ {transform} }}
  image_data_param {{ source: "list.txt" batch_size: 1 is_color: {color} }} }}
layer {{ name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param {{ kernel_size: 2 }} }}
"""
_READ = """
import gc
net = caffe.Net("net.prototxt", caffe.TEST)
net.forward()
result["data"] = net.blobs["data"].data.copy()
del net  # its threads read the image again and again, and Caffe ends when it is gone
gc.collect()
"""
MEAN = np.random.default_rng(4).uniform(0, 255, (1, 3, 15, 14)).astype(np.float32)


@pytest.mark.parametrize(
    ("transform", "color"),
    [
        ("scale: 0.00390625 mean_value: 33 crop_size: 9", "false"),
        ("scale: 0.017 mean_value: [103.94, 116.78, 123.68] crop_size: 9", "true"),
        ("mean_value: 99 crop_size: 9", "true"),
        ("scale: 0.5 crop_size: 9", "true"),
        ('scale: -0.25 mean_file: "mean.binaryproto" crop_size: 9', "true"),
    ],
)
def test_image_data(oracle: Oracle, tmp_path: Path, transform: str, color: str) -> None:
    image = np.random.default_rng(3).integers(0, 256, (15, 14, 3) if color == "true" else (15, 14), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    net = NET.format(transform=transform, color=color)
    mean = BlobProto(shape=BlobShape(dim=MEAN.shape), data=MEAN.ravel()).SerializeToString()
    files = {"net.prototxt": net.encode(), "list.txt": b"image.png 0\n", "image.png": stream.getvalue(), "mean.binaryproto": mean}
    answer = oracle.script(_READ, files)
    (tmp_path / "net.prototxt").write_text(net)
    (tmp_path / "mean.binaryproto").write_bytes(mean)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)
        network = load_net(tmp_path / "net.prototxt", device="cpu")
    middle = image[3:12, 2:11]  # what Caffe's TEST phase cuts out
    np.testing.assert_allclose(network.from_rgb(middle), answer["data"][0], rtol=1e-5, atol=1e-5)
