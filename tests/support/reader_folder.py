"""The folder of a reader who types what the documents print: a net with the layers and classes that they name, photographs, masks, a film."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from dreamopt.data import PROTOTXT, WEIGHTS
from dreamopt.data.textures import texture_image
from tests.support.videos import scenes, write_video

LAYERS = {
    "mixed3": ("conv3", "relu_conv1", "fire3/concat", "fire4/concat", "inception_3b/output"),
    "mixed4": ("conv4", "fire5/concat", "fire6/concat", "inception_4a/output"),
    "mixed5": ("conv5", "fire7/concat", "fire8/concat", "inception_4c/output"),
}
"""Names of other nets' layers, and the layers of the embedded net that stand in for them."""
TIMES = 10
"""How often the classes of the embedded net are repeated, so that there are as many as in ImageNet's first pages."""
CLASSES = {281: "tabby cat", 280: "espresso", 279: "flamingo", 278: "zebra"}
"""Names of classes that the documents ask for; 281 is the embedded net's stripes, 280 its stars."""


SIZES = {"cat": (96, 96), "coffee": (96, 96), "both": (128, 96)}
"""Of images in which the net sees its classes; of others 64 x 48."""


def write_net(folder: Path) -> None:
    """Write the embedded net with further layers, each what a layer of it gives, and with 320 classes."""
    text = PROTOTXT.read_text(encoding="utf-8").rpartition("layer {")[0]  # without its probabilities
    layer = 'layer {{ name: "{0}" type: "{1}" bottom: "{2}" top: "{0}" {3} }}\n'
    text += layer.format("lrn3", "LRN", "mixed3", "lrn_param { alpha: 0 }")
    text += "".join(layer.format(name, "ReLU", source, "") for source, names in LAYERS.items() for name in names)
    scores = " ".join(f'bottom: "scores/{i}"' for i in range(TIMES))
    text += "".join(layer.format(f"scores/{i}", "Power", "scores", "") for i in range(TIMES))
    text += f'layer {{ name: "fc8" type: "Concat" {scores} top: "fc8" }}\n'
    text += layer.format("pool_final", "Power", "fc8", "") + layer.format("prob", "Softmax", "fc8", "")
    (folder / "deploy.prototxt").write_text(text, encoding="utf-8")
    shutil.copyfile(WEIGHTS, folder / "net.caffemodel")
    labels = PROTOTXT.with_suffix(".txt").read_text(encoding="utf-8").split()
    names = [CLASSES.get(i, labels[i % len(labels)] + ("" if i < len(labels) else f" {i}")) for i in range(TIMES * len(labels))]
    (folder / "labels.txt").write_text("\n".join(names) + "\n", encoding="utf-8")


def write_folder(folder: Path) -> None:
    """Write all that the documents' commands read."""
    write_net(folder)
    (folder / "photos").mkdir()
    (folder / "frames").mkdir()
    (folder / "more").mkdir()
    seen = {"cat": texture_image("stripes", 0), "coffee": texture_image("stars", 0)}  # what the net knows, in the photographs' place
    seen["both"] = np.concatenate([texture_image("hearts", 0), texture_image("moons", 0)], 1)
    photographs = {"astronaut": data.astronaut(), "rocket": data.rocket(), **seen}
    small = {name: Image.fromarray(one).resize(SIZES.get(name, (64, 48))) for name, one in photographs.items()}
    for name, source in {
        "photo.jpg": "both",
        "flowers.jpg": "coffee",
        "stars.jpg": "rocket",
        "a.jpg": "astronaut",
        "b.jpg": "cat",
        "cat.jpg": "cat",
        "cat.png": "cat",
        "chelsea.png": "cat",
        "coffee.jpg": "coffee",
        "coffee.png": "coffee",
        "rocket.jpg": "rocket",
        "photos/a.jpg": "astronaut",
        "photos/b.jpg": "coffee",
        "more/c.jpg": "rocket",
    }.items():
        small[source].save(folder / name)
    for name in ("1", "2"):
        small["cat"].save(folder / "frames" / f"{name}.png")
    for name in ("winner.toml", "my_preset.toml"):
        (folder / name).write_text("[settings]\nsteps = 64\njitter = 4\n", encoding="utf-8")
    write_video(folder / "film.mp4", scenes(3), rate=1)
    Image.fromarray(np.pad(np.full((24, 32), 255, np.uint8), ((12, 12), (16, 16)))).save(folder / "mask.png")
