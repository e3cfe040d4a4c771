"""C3D's net of 2015 as its files say it, in Caffe's V1 form with the words of its fork, narrow enough for tests."""

from __future__ import annotations

_CONV = """layers {{ name: "conv{name}" type: CONVOLUTION3D bottom: "{bottom}" top: "conv{name}" blobs_lr: 1 blobs_lr: 2
  convolution_param {{ num_output: {width} kernel_size: 3 kernel_depth: 3 pad: 1 temporal_pad: 1
    weight_filler {{ type: "gaussian" std: 0.1 }} bias_filler {{ type: "constant" value: {bias} }} }} }}
layers {{ name: "relu{name}" type: RELU bottom: "conv{name}" top: "conv{name}" }}
"""
_POOL = """layers {{ name: "pool{name}" type: POOLING3D bottom: "{bottom}" top: "pool{name}"
  pooling_param {{ pool: MAX kernel_size: 2 kernel_depth: {depth} stride: 2 temporal_stride: {depth} }} }}
"""


def c3d(width: int = 2, frames: int = 16, crop: int = 32, classes: int = 7) -> str:
    """Return the prototxt: ``width`` filters in the first layer, where the published net has 64, for ``crop`` by ``crop`` pixels."""
    text = f"""name: "DeepConv3DNet"
layers {{ name: "data" type: VIDEO_DATA top: "data" top: "label"
  image_data_param {{ source: "list.txt" use_image: false mean_file: "mean.binaryproto" batch_size: 2 crop_size: {crop} mirror: false
    show_data: 0 new_height: {crop + 16} new_width: {crop + 59} new_length: {frames} shuffle: false }} }}
"""
    bottom = "data"
    for group, (layers, factor) in enumerate((("a", 1), ("a", 2), ("ab", 4), ("ab", 8), ("ab", 8)), 1):
        for letter in layers:
            text += _CONV.format(name=f"{group}{letter}", bottom=bottom, width=factor * width, bias=0 if group == 1 else 1)
            bottom = f"conv{group}{letter}"
        text += _POOL.format(name=group, bottom=bottom, depth=1 if group == 1 else 2)
        bottom = f"pool{group}"
    for name, outputs in (("fc6-1", 11), ("fc7-1", 9), ("fc8-1", classes)):
        text += f"""layers {{ name: "{name}" type: INNER_PRODUCT bottom: "{bottom}" top: "{name}" inner_product_param {{ num_output: {outputs}
  weight_filler {{ type: "gaussian" std: 0.1 }} }} }}
"""
        bottom = name
    return (
        text
        + """layers { name: "prob" type: SOFTMAX bottom: "fc8-1" top: "prob" }
layers { name: "accuracy" type: ACCURACY bottom: "prob" bottom: "label" top: "accuracy" }
"""
    )
