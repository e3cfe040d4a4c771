"""More valid samples of some readers, beside the one of `tests.support.readers`: a damaged file is worth as much as what it was before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def _prototxt() -> list[str]:
    from dreamopt.engine.layer_types import known_types, layer_class
    from dreamopt.testing.layers import layer_text

    return [layer_text(name, example) for name in sorted(known_types()) for example in layer_class(name, name, "").examples]


def _presets() -> list[str]:
    from dreamopt.recipes.preset import presets

    return [preset.text for preset in presets()]


def _strings(kind: str) -> list[str]:
    from dreamopt.testing.bench import bench, fill
    from dreamopt.testing.cases import registries

    parts = [plugin.make for plugin in registries()[f"{kind}s"]]
    return [fill(example, bench().values) for part in parts for example in getattr(part, "examples", ())]


def _assignments() -> list[str]:
    listed = [f"{kind}s=[{text!r}]" for kind in ("regularizer", "transform") for text in _strings(kind)]
    single = [f"{kind}={text}" for kind in ("optimizer", "parametrization") for text in _strings(kind)]
    numbers = ["steps=8\nsize=(32, 48)\noctaves=3\noctave_scale=1.2\nseed=5\nviews=2\nredirected=16\nbatch_size=4\nstretch=true"]
    parts = [
        "tv.weight=Linear(2, 1)\njitter.pixels=4\noptimizer.step_size=PerOctave((2, Geometric(2, 1)))\ninit=null\nblur=0.5\nlr=2\nnoise=3"
    ]
    return [*listed, *single, *numbers, *parts]


def _targets() -> list[str]:
    places = [
        "conv:1,2@3,5;4,4\nconv:0@centre\nconv:3@(3,5;4,4);(1,1)",
        'fc:tabby cat\nfc:"tabby cat","five"\nconv\n2*(conv:1 + fc:2) / 3 | fc:3',
    ]
    return [*places, *(text.replace("conv2", "conv").replace("conv1", "conv") for text in _strings("objective"))]


OLD_NETS = (
    'name: "v1" input: "data" input_dim: 1 input_dim: 3 input_dim: 12 input_dim: 14\nlayers { name: "conv" type: CONVOLUTION bottom: "data" top: '
    '"conv" blobs_lr: 1 weight_decay: 0 convolution_param { num_output: 4 kernel_size: 3 } }\nlayers { name: "loss" type: SOFTMAX_LOSS bottom: "conv" '
    'bottom: "label" include { phase: TRAIN } }\n',
    'name: "v0" input: "data" input_dim: 1 input_dim: 3 input_dim: 12 input_dim: 14\nlayers { layer { name: "conv" type: "conv" num_output: 4 '
    'kernelsize: 3 pad: 1 stride: 2 weight_filler { type: "gaussian" std: 0.1 } } bottom: "data" top: "conv" }\nlayers { layer { name: "pool" type: '
    '"pool" pool: MAX kernelsize: 2 } bottom: "conv" top: "pool" }\n',
    'name: "train" layer { name: "data" type: "Data" top: "data" top: "label" transform_param { scale: 0.004 crop_size: 12 mean_value: 33 } '
    'data_param { source: "lmdb" batch_size: 8 } }\nlayer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: '
    '5 } }\nlayer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }\n',
)
"""Nets as they were written in 2013 and 2014, and one for training."""
LABELS = (
    '["tabby cat", "goldfish", "stars", "stripes", "five"]',
    '{"0": "tabby cat", "1": ["n01443537", "goldfish"], "2": "stars", "3": "stripes", "4": "five"}',
    "{0: 'tabby cat', 1: 'goldfish', 2: 'stars', 3: 'stripes', 4: 'five'}",
    "0 tabby cat\n1 goldfish\n2 stars\n3 stripes\n4 five\n",
    "\n".join(f'item {{ name: "n{n}" label: {n} display_name: "name {n}" }}' for n in range(5)),
)
"""Forms of labels."""


_MORE: dict[str, Callable[[], list[str]]] = {
    "prototxt": lambda: [*OLD_NETS, *_prototxt()],
    "labels": lambda: list(LABELS),
    "preset": _presets,
    "--set": _assignments,
    "target": _targets,
}


def samples_of(reader: str, sample: Path) -> list[bytes]:
    """Return a reader's samples, its own first and as often as all the others together are not."""
    more = [text.encode() for text in _MORE[reader]()] if reader in _MORE else []
    return [sample.read_bytes()] * max(1, len(more) // 3) + more
