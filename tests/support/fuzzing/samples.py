"""More valid samples of some readers, beside the one of `tests.support.readers`: a damaged file is worth as much as what it was before."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path


def _prototxt() -> list[str]:
    from dreamopt.engine.layer_types import known_types, layer_class
    from dreamopt.testing.layers import layer_text

    layers = [layer_text(name, example) for name in sorted(known_types()) for example in layer_class(name, name, "").examples]
    data = (
        'layer { name: "d" type: "Data" top: "data" transform_param { scale: 0.5 mean_value: 3 mean_value: 4 mean_value: 5 crop_size: 9 }'
        " data_param { batch_size: 2 } }"
    )
    old = 'layers { name: "d" type: DATA top: "data" data_param { batch_size: 2 scale: 0.5 mean_file: "mean.npy" crop_size: 9 } }'
    pool = ' layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 2 } }'
    return [*layers, data + pool, old + pool.replace("layer {", "layers {").replace('"Pooling"', "POOLING")]


def _labels() -> list[str]:
    names = ["tabby cat", "goldfish", "stars", "stripes", "five"]
    numbered = list(enumerate(names))
    return [
        *("\n".join(f"{i}{between}{name}" for i, name in numbered) for between in (" ", ": ", ",", "\t", ". ")),
        *("\n".join(f"{i + first} {name}" for i, name in numbered[::-1]) for first in (0, 1)),
        "\n".join(f"/{name} {i}" for i, name in numbered),
        json.dumps(names),
        json.dumps({str(i): ["n0144353" + str(i), name] for i, name in numbered}),
        json.dumps({"categories": [{"id": i, "name": name} for i, name in numbered]}),
        str(dict(numbered)),
        "id,name\n" + "\n".join(f'{i},"{name}"' for i, name in numbered),
        "\n".join(f'item {{ name: "n{i}" label: {i} display_name: "{name}" }}' for i, name in numbered),
    ]


def _caffemodels() -> list[bytes]:
    import numpy as np

    from dreamopt.schema.caffe_pb2 import BlobProto, BlobShape, LayerParameter, NetParameter, RawType

    values = np.random.default_rng(1).normal(0, 0.1, (4, 3, 1, 1))
    raw = [
        BlobProto(shape=BlobShape(dim=values.shape), raw_data_type=kind, raw_data=values.astype(form).tobytes())
        for kind, form in ((RawType.FLOAT16, "<f2"), (RawType.FLOAT, "<f4"), (RawType.DOUBLE, "<f8"))
    ]
    bias = BlobProto(shape=BlobShape(dim=[4]), data=[0, 1, 2, 3])
    return [NetParameter(layer=[LayerParameter(name="conv", type="Convolution", blobs=[b, bias])]).SerializeToString() for b in raw]


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
_MORE: dict[str, Callable[[], Sequence[str | bytes]]] = {
    "prototxt": lambda: [*OLD_NETS, *_prototxt()],
    "labels": _labels,
    "caffemodel": _caffemodels,
    "preset": _presets,
    "--set": _assignments,
    "target": _targets,
}


def samples_of(reader: str, own: Path) -> list[bytes]:
    """Return a reader's samples, its own first and as often as all the others together are not."""
    more = [sample if isinstance(sample, bytes) else sample.encode() for sample in _MORE[reader]()] if reader in _MORE else []
    return [own.read_bytes()] * max(1, len(more) // 3) + more
