"""Public nets of which only the structure is needed, as prototxt: VGG-16, VGG-19, ResNet-152, DenseNet-121, MobileNet-v2.

Layer names are those of the published Caffe ports, as far as they are asked for.
"""

from __future__ import annotations

_INPUT = 'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: {side} dim: {side} }} }} }}'


class _Writer:
    """A prototxt that grows by a layer; each method returns the name of the top."""

    def __init__(self, name: str, side: int = 224) -> None:
        self.lines = [f'name: "{name}"', _INPUT.format(side=side)]

    def layer(self, name: str, kind: str, bottoms: str | list[str], parameters: str = "", in_place: bool = False) -> str:
        bottoms = [bottoms] if isinstance(bottoms, str) else bottoms
        top = bottoms[0] if in_place else name
        reads = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
        self.lines.append(f'layer {{ name: "{name}" type: "{kind}" {reads} top: "{top}" {parameters} }}')
        return top

    def conv(self, name: str, bottom: str, outputs: int, kernel: int, stride: int = 1, group: int = 1, bias: bool = False) -> str:
        rest = f"kernel_size: {kernel} pad: {kernel // 2} stride: {stride} group: {group} bias_term: {str(bias).lower()}"
        return self.layer(name, "Convolution", bottom, f"convolution_param {{ num_output: {outputs} {rest} }}")

    def norm(self, name: str, bottom: str, relu: bool = True, in_place: bool = True) -> str:
        top = self.layer(f"{name}/bn", "BatchNorm", bottom, "batch_norm_param { use_global_stats: true eps: 1e-5 }", in_place)
        top = self.layer(f"{name}/scale", "Scale", top, "scale_param { bias_term: true }", in_place=True)
        return self.layer(f"{name}/relu", "ReLU", top, in_place=True) if relu else top

    def pool(self, name: str, bottom: str, kind: str, kernel: int, stride: int, pad: int = 0) -> str:
        return self.layer(name, "Pooling", bottom, f"pooling_param {{ pool: {kind} kernel_size: {kernel} stride: {stride} pad: {pad} }}")

    def average(self, name: str, bottom: str) -> str:
        return self.layer(name, "Pooling", bottom, "pooling_param { pool: AVE global_pooling: true }")

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def _vgg(name: str, blocks: list[tuple[int, int]]) -> _Writer:
    """Return a VGG's convolutions: outputs and how many of each block."""
    net, top = _Writer(name), "data"
    for block, (outputs, count) in enumerate(blocks, 1):
        for number in range(1, count + 1):
            top = net.conv(f"conv{block}_{number}", top, outputs, 3, bias=True)
            top = net.layer(f"relu{block}_{number}", "ReLU", top, in_place=True)
        if block < 5:
            top = net.pool(f"pool{block}", top, "MAX", 2, 2)
    return net


def vgg16() -> str:
    """VGG-16's convolutions (Simonyan and Zisserman 2014, configuration D)."""
    return _vgg("VGG_ILSVRC_16_layers", [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]).text()


def vgg19() -> str:
    """VGG-19, whole (Simonyan and Zisserman 2014, configuration E)."""
    net = _vgg("VGG_ILSVRC_19_layers", [(64, 2), (128, 2), (256, 4), (512, 4), (512, 4)])
    top = net.pool("pool5", "conv5_4", "MAX", 2, 2)
    for name, outputs in (("fc6", 4096), ("fc7", 4096), ("fc8", 1000)):
        top = net.layer(name, "InnerProduct", top, f"inner_product_param {{ num_output: {outputs} }}")
        top = net.layer(f"relu_{name}", "ReLU", top, in_place=True) if name != "fc8" else top
    return net.text()


def resnet152() -> str:
    """ResNet-152 (He et al. 2015): blocks of 1x1, 3x3 and 1x1, the stride in the first."""
    net = _Writer("ResNet-152")
    top = net.pool("pool1", net.norm("conv1", net.conv("conv1", "data", 64, 7, 2)), "MAX", 3, 2)
    for stage, (width, count) in enumerate(((64, 3), (128, 8), (256, 36), (512, 3)), 2):
        for number in range(count):
            name, stride, before = f"res{stage}_{number}", 2 if stage > 2 and number == 0 else 1, top
            top = net.norm(f"{name}_2a", net.conv(f"{name}_2a", before, width, 1, stride))
            top = net.norm(f"{name}_2b", net.conv(f"{name}_2b", top, width, 3))
            top = net.norm(f"{name}_2c", net.conv(f"{name}_2c", top, 4 * width, 1), relu=False)
            if number == 0:
                before = net.norm(f"{name}_1", net.conv(f"{name}_1", before, 4 * width, 1, stride), relu=False)
            top = net.layer(name, "Eltwise", [before, top])
            top = net.layer(f"{name}_relu", "ReLU", top, in_place=True)
    net.layer("fc1000", "InnerProduct", net.average("pool5", top), "inner_product_param { num_output: 1000 }")
    return net.text()


def densenet121() -> str:
    """DenseNet-121 (Huang et al. 2017)."""
    net, growth = _Writer("DENSENET_121"), 32
    top = net.norm("conv1", net.conv("conv1", "data", 64, 7, 2))
    top, channels = net.pool("pool1", top, "MAX", 3, 2, 1), 64
    for block, depth in enumerate((6, 12, 24, 16), 2):
        for number in range(1, depth + 1):
            name = f"conv{block}_{number}"
            before = net.norm(f"{name}/x1", top, in_place=False)
            inner = net.norm(f"{name}/x2", net.conv(f"{name}/x1", before, 4 * growth, 1))
            new = net.conv(f"{name}/x2", inner, growth, 3)
            top, channels = net.layer(f"concat_{block}_{number}", "Concat", [top, new]), channels + growth
        last = block == 5
        top = net.norm(f"conv{block}_blk", top, in_place=False)
        if not last:
            channels //= 2
            top = net.pool(f"pool{block}", net.conv(f"conv{block}_blk", top, channels, 1), "AVE", 2, 2)
    net.conv("fc6", net.average("pool5", top), 1000, 1, bias=True)
    return net.text()


_INVERTED_RESIDUALS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Of MobileNet-v2: how many times wider inside, channels, blocks, stride of the first."""


def mobilenet_v2() -> str:
    """MobileNet-v2 (Sandler et al. 2018)."""
    net = _Writer("MOBILENET_V2")
    top, channels, number = net.norm("conv1", net.conv("conv1", "data", 32, 3, 2)), 32, 0
    for widen, outputs, count, stride in _INVERTED_RESIDUALS:
        for repeat in range(count):
            number += 1
            name, step, wide, before = f"block{number}", stride if repeat == 0 else 1, widen * channels, top
            if widen > 1:
                top = net.norm(f"{name}/expand", net.conv(f"{name}/expand", top, wide, 1))
            top = net.norm(f"{name}/dwise", net.conv(f"{name}/dwise", top, wide, 3, step, group=wide))
            top = net.norm(f"{name}/linear", net.conv(f"{name}/linear", top, outputs, 1), relu=False)
            if step == 1 and channels == outputs:
                top = net.layer(f"{name}/sum", "Eltwise", [before, top])
            channels = outputs
    top = net.norm("conv_last", net.conv("conv_last", top, 1280, 1))
    net.conv("fc7", net.average("pool6", top), 1000, 1, bias=True)
    return net.text()
