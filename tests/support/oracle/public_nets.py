"""Public nets written down again with few channels: every structural feature of theirs, in the words of their prototxts."""

from __future__ import annotations

from collections.abc import Sequence


class Text:
    """A prototxt that grows layer by layer; each method returns the name of the top it made."""

    def __init__(self, *shape: int, name: str = "data", old: bool = False) -> None:
        dims = " ".join(f"dim: {d}" for d in shape)
        self.lines = [f'input: "{name}"', *(f"input_dim: {d}" for d in shape)] if old else []
        if shape and not old:
            self.lines = [f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}']

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def add(self, name: str, type_: str, bottoms: str | Sequence[str], rest: str = "", top: str | None = None) -> str:
        """Add a layer; its top is called as the layer unless another name is given."""
        reads = " ".join(f'bottom: "{b}"' for b in ([bottoms] if isinstance(bottoms, str) else bottoms))
        self.lines.append(f'layer {{ name: "{name}" type: "{type_}" {reads} top: "{top or name}" {rest} }}')
        return top or name

    def conv(self, name: str, bottom: str, n: int, size: str, rest: str = "") -> str:
        """Add a convolution; ``size`` is "kernel", "kernel/stride", "kernel/stride+pad" or "height x width"."""
        size, _, pad = size.partition("+")
        kernel, _, stride = size.partition("/")
        if "x" in kernel:
            h, w = map(int, kernel.split("x"))
            window = f"kernel_h: {h} kernel_w: {w} pad_h: {h // 2} pad_w: {w // 2}"
        else:
            window = f"kernel_size: {kernel}" + (f" pad: {pad}" if pad else "")
        stride = f"stride: {stride}" if stride else ""
        return self.add(name, "Convolution", bottom, f"convolution_param {{ num_output: {n} {window} {stride} {rest} }}")

    def relu(self, blob: str, name: str | None = None) -> str:
        """Add a ReLU in place."""
        return self.add(name or f"{blob}_relu", "ReLU", blob, top=blob)

    def norm(self, blob: str, relu: bool = True, eps: str = "") -> str:
        """Add BatchNorm, Scale and perhaps ReLU in place."""
        self.add(f"{blob}/bn", "BatchNorm", blob, f"batch_norm_param {{ use_global_stats: true {eps} }}", blob)
        self.add(f"{blob}/scale", "Scale", blob, "scale_param { bias_term: true }", blob)
        return self.relu(blob, f"{blob}/relu") if relu else blob

    def cbr(self, name: str, bottom: str, n: int, size: str, rest: str = "", relu: bool = True) -> str:
        """Add a convolution without bias, and what `norm` adds."""
        return self.norm(self.conv(name, bottom, n, size, f"bias_term: false {rest}"), relu)

    def pool(self, name: str, bottom: str, kind: str, rest: str) -> str:
        """Add a pooling."""
        return self.add(name, "Pooling", bottom, f"pooling_param {{ pool: {kind} {rest} }}")

    def fc(self, name: str, bottom: str, n: int) -> str:
        """Add a fully connected layer."""
        return self.add(name, "InnerProduct", bottom, f"inner_product_param {{ num_output: {n} }}")


def vgg16() -> str:
    """VGG_ILSVRC_16_layers_deploy, V2 with input_dim."""
    t, at = Text(2, 3, 64, 64, old=True), "data"
    for block, (depth, n) in enumerate(zip((2, 2, 3, 3, 3), (4, 6, 8, 10, 10), strict=True), 1):
        for i in range(1, depth + 1):
            at = t.relu(t.conv(f"conv{block}_{i}", at, n, "3+1"), f"relu{block}_{i}")
        at = t.pool(f"pool{block}", at, "MAX", "kernel_size: 2 stride: 2")
    for i, n in ((6, 30), (7, 30)):
        at = t.relu(t.fc(f"fc{i}", at, n), f"relu{i}")
        t.add(f"drop{i}", "Dropout", at, "dropout_param { dropout_ratio: 0.5 }", at)
    t.add("prob", "Softmax", t.fc("fc8", at, 11))
    return str(t)


def vgg19_v1() -> str:
    """VGG_ILSVRC_19_layers_deploy as it was published: V1."""
    lines, at = ['name: "VGG_ILSVRC_19_layers"', 'input: "data"', *(f"input_dim: {d}" for d in (1, 3, 64, 96))], "data"

    def add(name: str, type_: str, rest: str = "", top: str | None = None) -> str:
        lines.append(f'layers {{ bottom: "{at}" top: "{top or name}" name: "{name}" type: {type_} {rest} }}')
        return top or name

    for block, (depth, n) in enumerate(zip((2, 2, 4, 4, 4), (4, 5, 6, 7, 8), strict=True), 1):
        for i in range(1, depth + 1):
            rates = "blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0"
            at = add(f"conv{block}_{i}", "CONVOLUTION", f"{rates} convolution_param {{ num_output: {n} pad: 1 kernel_size: 3 }}")
            add(f"relu{block}_{i}", "RELU", top=at)
        at = add(f"pool{block}", "POOLING", "pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    for i, n in ((6, 20), (7, 20)):
        at = add(f"fc{i}", "INNER_PRODUCT", f"inner_product_param {{ num_output: {n} }}")
        add(f"relu{i}", "RELU", top=at)
        add(f"drop{i}", "DROPOUT", "dropout_param { dropout_ratio: 0.5 }", at)
    at = add("fc8", "INNER_PRODUCT", "inner_product_param { num_output: 9 }")
    add("prob", "SOFTMAX")
    return "\n".join(lines)


def nin() -> str:
    """NIN for ImageNet."""
    t, at = Text(1, 3, 224, 224, old=True), "data"
    for i, (n, size) in enumerate((("6", "11/4"), ("8", "5/1+2"), ("9", "3/1+1"), ("10", "3/1+1")), 1):
        at = t.relu(t.conv(f"conv{i}", at, int(n), size), f"relu{i}0")
        at = t.relu(t.conv(f"cccp{2 * i - 1}", at, int(n), "1/1"), f"relu{i}1")
        at = t.relu(t.conv(f"cccp{2 * i}", at, int(n), "1/1"), f"relu{i}2")
        if i < 4:
            at = t.pool(f"pool{i}", at, "MAX", "kernel_size: 3 stride: 2")
        if i == 3:
            t.add("drop", "Dropout", at, "dropout_param { dropout_ratio: 0.5 }", at)
    t.pool("pool4", at, "AVE", "kernel_size: 6 stride: 1")
    return str(t)


def resnet(depths: Sequence[int] = (3, 8, 36, 3), group: int = 1) -> str:
    """ResNet-152 (MSRA's names), or ResNeXt with ``group``."""
    t = Text(1, 3, 65, 71)
    at = t.pool("pool1", t.cbr("conv1", "data", 6, "7/2+3"), "MAX", "kernel_size: 3 stride: 2")
    for stage, depth in enumerate(depths, 2):
        n = 4 * (stage - 1) * (2 if group > 1 else 1)
        for i in range(depth):
            name, stride = f"res{stage}{'a' if i == 0 else f'b{i}'}", 2 if i == 0 and stage > 2 else 1
            short = t.cbr(f"{name}_branch1", at, 2 * n, f"1/{stride}", relu=False) if i == 0 else at
            first, second = (1, stride) if group > 1 else (stride, 1)
            x = t.cbr(f"{name}_branch2a", at, n, f"1/{first}")
            x = t.cbr(f"{name}_branch2b", x, n, f"3/{second}+1", f"group: {group}")
            x = t.cbr(f"{name}_branch2c", x, 2 * n, "1", relu=False)
            at = t.relu(t.add(name, "Eltwise", [short, x]), f"{name}_relu")
    at = t.pool("pool5", at, "AVE", "kernel_size: 2 stride: 1")
    t.fc("fc1000", at, 13)
    return str(t)


def resnext() -> str:
    """ResNeXt-50, cardinality 4."""
    return resnet((3, 4, 6, 3), 4)


def densenet(depths: Sequence[int] = (6, 12, 8, 4), growth: int = 3) -> str:
    """DenseNet-121 (shicai's): BatchNorm with a top of its own, Scale and ReLU in place on that."""
    t = Text(1, 3, 95, 73)

    def bn(name: str, bottom: str) -> str:
        at = t.add(f"{name}/bn", "BatchNorm", bottom, "batch_norm_param { eps: 1e-5 }")
        t.add(f"{name}/scale", "Scale", at, "scale_param { bias_term: true }", at)
        return t.relu(at, f"{name}/relu")

    at = t.pool("pool1", t.cbr("conv1", "data", 6, "7/2+3"), "MAX", "kernel_size: 3 stride: 2 pad: 1")
    channels = 6
    for block, depth in enumerate(depths, 2):
        for i in range(1, depth + 1):
            name = f"conv{block}_{i}"
            x = t.conv(f"{name}/x1", bn(f"{name}/x1", at), 4 * growth, "1", "bias_term: false")
            x = t.conv(f"{name}/x2", bn(f"{name}/x2", x), growth, "3+1", "bias_term: false")
            at = t.add(f"concat_{block}_{i}", "Concat", [at, x])
            channels += growth
        at = bn(f"conv{block}_blk", at)
        if block < 1 + len(depths):
            channels //= 2
            at = t.conv(f"conv{block}_blk/conv", at, channels, "1", "bias_term: false")
            at = t.pool(f"pool{block}", at, "AVE", "kernel_size: 2 stride: 2")
    at = t.pool(f"pool{1 + len(depths)}", at, "AVE", "global_pooling: true")
    t.conv("fc6", at, 9, "1")
    return str(t)


def mobilenet_v2() -> str:
    """MobileNet v2 (shicai's): expand, depthwise, linear; Eltwise where the sizes agree."""
    t = Text(2, 3, 64, 80)
    at, had = t.cbr("conv1", "data", 8, "3/2+1"), 8
    for stage, (n, depth, stride) in enumerate(((4, 1, 1), (6, 2, 2), (8, 3, 2), (10, 3, 2), (12, 2, 1)), 2):
        for i in range(1, depth + 1):
            name, wide, step = f"conv{stage}_{i}", had * (1 if stage == 2 else 3), stride if i == 1 else 1
            x = t.cbr(f"{name}/expand", at, wide, "1")
            x = t.cbr(f"{name}/dwise", x, wide, f"3/{step}+1", f"group: {wide} engine: CAFFE")
            x = t.cbr(f"{name}/linear", x, n, "1", relu=False)
            at = t.add(f"block_{stage}_{i}", "Eltwise", [at, x]) if i > 1 else x
            had = n
    at = t.pool("pool6", t.cbr("conv6", at, 30, "1"), "AVE", "global_pooling: true")
    t.conv("fc7", at, 9, "1")
    return str(t)


def inception_v3() -> str:
    """Inception v3: AVE pooling with pad, 1x7 and 7x1, 1x3 and 3x1 side by side, reductions by 3/2."""
    t = Text(1, 3, 107, 123)
    at = t.cbr("conv_2", t.cbr("conv_1", t.cbr("conv", "data", 4, "3/2"), 4, "3"), 6, "3+1")
    at = t.pool("pool", at, "MAX", "kernel_size: 3 stride: 2")
    at = t.pool("pool1", t.cbr("conv_4", t.cbr("conv_3", at, 6, "1"), 8, "3"), "MAX", "kernel_size: 3 stride: 2")
    a = t.cbr("mixed/conv", at, 5, "1")
    b = t.cbr("mixed/tower/conv_1", t.cbr("mixed/tower/conv", at, 4, "1"), 5, "5+2")
    c = t.cbr("mixed/tower_1/conv_1", t.cbr("mixed/tower_1/conv", at, 4, "1"), 6, "3+1")
    d = t.cbr("mixed/tower_2/conv", t.pool("mixed/pool", at, "AVE", "kernel_size: 3 stride: 1 pad: 1"), 3, "1")
    at = t.add("mixed/join", "Concat", [a, b, c, d], "concat_param { axis: 1 }")
    a = t.cbr("mixed_3/conv", at, 6, "3/2")
    b = t.cbr("mixed_3/tower/conv_2", t.cbr("mixed_3/tower/conv_1", t.cbr("mixed_3/tower/conv", at, 4, "1"), 5, "3+1"), 6, "3/2")
    at = t.add("mixed_3/join", "Concat", [a, b, t.pool("mixed_3/pool", at, "MAX", "kernel_size: 3 stride: 2")])
    a = t.cbr("mixed_4/conv", at, 5, "1")
    b = t.cbr("mixed_4/tower/conv_2", t.cbr("mixed_4/tower/conv_1", t.cbr("mixed_4/tower/conv", at, 4, "1"), 4, "1x7"), 5, "7x1")
    c = t.cbr("mixed_4/tower_1/conv", at, 4, "1")
    for i, size in enumerate(("7x1", "1x7", "7x1", "1x7"), 1):
        c = t.cbr(f"mixed_4/tower_1/conv_{i}", c, 5, size)
    d = t.cbr("mixed_4/tower_2/conv", t.pool("mixed_4/pool", at, "AVE", "kernel_size: 3 stride: 1 pad: 1"), 5, "1")
    at = t.add("mixed_4/join", "Concat", [a, b, c, d])
    b = t.cbr("mixed_9/tower/conv", at, 6, "1")
    b = t.add(
        "mixed_9/tower/mixed", "Concat", [t.cbr("mixed_9/tower/mixed/conv", b, 5, "1x3"), t.cbr("mixed_9/tower/mixed/conv_1", b, 5, "3x1")]
    )
    d = t.cbr("mixed_9/tower_2/conv", t.pool("mixed_9/pool", at, "MAX", "kernel_size: 3 stride: 1 pad: 1"), 4, "1")
    at = t.add("mixed_9/join", "Concat", [t.cbr("mixed_9/conv", at, 5, "1"), b, d])
    at = t.pool("pool_3", at, "AVE", "kernel_size: 5 stride: 1")
    t.add("drop", "Dropout", at, "dropout_param { dropout_ratio: 0.2 }", at)
    at = t.add("flat", "Flatten", at)
    t.add("softmax_prob", "Softmax", t.fc("softmax", at, 9))
    return str(t)


def inception_resnet() -> str:
    """Inception-ResNet v2: a stem that forks by pooling and convolution, residuals scaled by Eltwise's coeff."""
    t = Text(1, 3, 75, 91)
    at = t.cbr("conv3", t.cbr("conv2", t.cbr("conv1", "data", 4, "3/2"), 5, "3"), 6, "3+1")
    at = t.add("stem_concat", "Concat", [t.pool("stem_pool", at, "MAX", "kernel_size: 3 stride: 2"), t.cbr("stem_conv", at, 6, "3/2")])
    for i in range(1, 6):
        b = t.cbr(f"a{i}_2_3x3", t.cbr(f"a{i}_2_1x1", at, 4, "1"), 4, "3+1")
        c = t.cbr(f"a{i}_3_7x1", t.cbr(f"a{i}_3_1x7", t.cbr(f"a{i}_3_1x1", at, 3, "1"), 4, "1x7"), 5, "7x1")
        x = t.add(f"a{i}_concat", "Concat", [t.cbr(f"a{i}_1_1x1", at, 4, "1"), b, c])
        x = t.norm(t.conv(f"a{i}_up", x, 12, "1"), relu=False)
        at = t.relu(t.add(f"a{i}_sum", "Eltwise", [at, x], "eltwise_param { operation: SUM coeff: 1.0 coeff: 0.17 }"), f"a{i}_relu")
    at = t.pool("pool_8x8_s1", at, "AVE", "global_pooling: true")
    t.add("drop", "Dropout", at, "dropout_param { dropout_ratio: 0.2 }", at)
    t.fc("classifier", at, 7)
    return str(t)


def v0() -> str:
    """A net of 2013: V0, with a padding layer, and LRN between."""
    lines = ['name: "V0"', 'input: "data"', *(f"input_dim: {d}" for d in (2, 3, 31, 37))]

    def add(bottom: str, top: str, rest: str) -> None:
        lines.append(f'layers {{ layer {{ {rest} }} bottom: "{bottom}" top: "{top}" }}')

    add("data", "conv1", 'name: "conv1" type: "conv" num_output: 6 kernelsize: 5 stride: 2 blobs_lr: 1. blobs_lr: 2.')
    add("conv1", "conv1", 'name: "relu1" type: "relu"')
    add("conv1", "pool1", 'name: "pool1" type: "pool" pool: MAX kernelsize: 3 stride: 2')
    add("pool1", "norm1", 'name: "norm1" type: "lrn" local_size: 5 alpha: 0.01 beta: 0.75')
    add("norm1", "pad2", 'name: "pad2" type: "padding" pad: 2')
    add("pad2", "conv2", 'name: "conv2" type: "conv" num_output: 8 group: 2 kernelsize: 5')
    add("conv2", "conv2", 'name: "relu2" type: "relu"')
    add("conv2", "pool2", 'name: "pool2" type: "pool" pool: AVE kernelsize: 3 stride: 2')
    add("pool2", "fc3", 'name: "fc3" type: "innerproduct" num_output: 10')
    add("fc3", "fc3", 'name: "drop3" type: "dropout" dropout_ratio: 0.4')
    add("fc3", "prob", 'name: "prob" type: "softmax"')
    return "\n".join(lines)
