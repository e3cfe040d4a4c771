"""Receptive fields against the gradient: zero outside of the rectangle, and not at its borders."""

from pathlib import Path

import numpy as np
import pytest
import torch

import dreamopt
from dreamopt.errors import TargetError
from dreamopt.network import Network
from dreamopt.network.receptive_field import ReceptiveField, ReceptiveFields
from tests.support.nets import conv, image_input, layer

pytestmark = pytest.mark.filterwarnings("ignore::dreamopt.errors.DreamoptWarning")  # random weights, on purpose

SIZE = (37, 42)


def pool(name: str, bottom: str, how: str) -> str:
    return layer(name, "Pooling", bottom, more=f"pooling_param {{ {how} }}")


def load(folder: Path, text: str) -> Network:
    path = folder / "net.prototxt"
    path.write_text(image_input(shape=(1, 3, *SIZE)) + text, encoding="utf-8")
    return dreamopt.load_net(path, device="cpu", seed=3)


CHAIN = (
    conv("a", "data", 4, "kernel_h: 5 kernel_w: 3 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 2")
    + pool("b", "a", "pool: MAX kernel_size: 3 stride: 2")
    + conv("c", "b", 5, "kernel_size: 3 dilation: 2 pad: 1")
    + pool("d", "c", "pool: AVE kernel_size: 2 stride: 2 pad: 1")
)
BRANCHES = (
    conv("a", "data", 4, "kernel_size: 3 stride: 2")
    + conv("left", "a", 3, "kernel_size: 1")
    + conv("right", "a", 2, "kernel_h: 7 kernel_w: 3 pad_h: 3 pad_w: 1")
    + conv("pooled_conv", "a", 2, "kernel_size: 1")
    + pool("pooled", "pooled_conv", "pool: MAX kernel_size: 3 stride: 1 pad: 1")
    + layer("joined", "Concat", "left right pooled")
    + conv("mixed", "joined", 4, "kernel_size: 2 stride: 3")
)
UP = (
    conv("a", "data", 4, "kernel_size: 4 stride: 3 pad: 1")
    + layer(
        "up",
        "Deconvolution",
        "a",
        more='convolution_param { num_output: 3 kernel_size: 4 stride: 2 pad: 1 weight_filler { type: "gaussian" std: 1 } }',
    )
    + conv("c", "up", 2, "kernel_size: 3")
)
MIRRORED = conv("a", "data", 3, "kernel_size: 3 stride: 2") + layer(
    "up",
    "Deconvolution",
    "a",
    more='convolution_param { num_output: 2 kernel_size: 3 stride: 1 dilation: 2 pad: 1 weight_filler { type: "gaussian" std: 1 } }',
)
CROPPED = (
    conv("a", "data", 4, "kernel_size: 3 stride: 2")
    + conv("wide", "a", 2, "kernel_size: 7 pad: 2")
    + layer("cut", "Crop", "a wide", more="crop_param { axis: 2 offset: 2 offset: 1 }")
    + conv("c", "cut", 3, "kernel_h: 3 kernel_w: 2")
)
RESIDUAL = (
    conv("a", "data", 3, "kernel_size: 3 pad: 1")
    + conv("b", "a", 3, "kernel_size: 5 pad: 2")
    + layer("sum", "Eltwise", "a b")
    + layer("norm", "LRN", "sum", more="lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }")
)


@pytest.mark.parametrize(
    ("text", "top"),
    [
        (CHAIN, "b"),
        (CHAIN, "c"),
        (CHAIN, "d"),
        (BRANCHES, "joined"),
        (BRANCHES, "mixed"),
        (UP, "up"),
        (UP, "c"),
        (MIRRORED, "up"),
        (CROPPED, "cut"),
        (CROPPED, "c"),
        (RESIDUAL, "norm"),
    ],
)
def test_the_gradient_is_zero_outside_and_not_at_the_borders(tmp_path: Path, text: str, top: str) -> None:
    network = load(tmp_path, text)
    fields = ReceptiveFields(network, top)
    _, height, width = network.shape_of(top)
    images = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (96, 3, *SIZE)).astype(np.float32)).requires_grad_()
    values = network.activations(images, [top])[top]
    for row, column in {(0, 0), (height // 2, width // 2), (height - 1, width - 1), (0, width - 1), (1, 2), (height - 2, 0)}:
        (gradient,) = torch.autograd.grad(values[:, :, row, column].sum(), images, retain_graph=True)
        reached = gradient.abs().amax((0, 1)) > 0
        rows, columns = torch.nonzero(reached.any(1)).flatten(), torch.nonzero(reached.any(0)).flatten()
        found = fields.at(row, column).rectangle
        assert ((int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)) == found, (row, column)


def test_it_is_what_the_windows_say(tmp_path: Path) -> None:
    network = load(tmp_path, CHAIN)
    # b: rows 2 r .. 2 r + 2 of a, each 2 a - 1 .. 2 a + 3 of the image; columns 2 c .. 2 c + 2 of a, each a - 2 .. a.
    assert ReceptiveFields(network, "b").at(3, 4) == ReceptiveField(((11, 20), (6, 11)), ((11, 20), (6, 11)))
    assert ReceptiveFields(network, "b").at(0, 0) == ReceptiveField(((0, 8), (0, 3)), ((-1, 8), (-2, 3)))


def test_all_windows_of_a_map_are_of_one_size(tmp_path: Path) -> None:
    network = load(tmp_path, CHAIN)
    fields = ReceptiveFields(network, "c")
    _, height, width = network.shape_of("c")
    sizes = {
        (rows[1] - rows[0], columns[1] - columns[0])
        for row in range(height)
        for column in range(width)
        for rows, columns in [fields.at(row, column).window]
    }
    assert sizes == {(25, 13)}  # 5 + 2 * 2 + 4 * 4 and 3 + 2 + 2 * 4


def test_what_sees_all_of_a_map_sees_all_of_the_image(tmp_path: Path) -> None:
    text = CHAIN + layer("fc", "InnerProduct", "b", more='inner_product_param { num_output: 5 weight_filler { type: "xavier" } }')
    network = load(tmp_path, text)
    assert ReceptiveFields(network, "fc").of() == ReceptiveField(((0, 37), (0, 42)), ((0, 37), (0, 42)))


def test_what_is_in_no_window_is_not_seen(tmp_path: Path) -> None:
    network = load(tmp_path, BRANCHES + pool("global", "a", "pool: AVE global_pooling: true"))
    # Windows of 3 two apart: of 38 rows and 42 columns the last ones are in none.
    assert ReceptiveFields(network, "global", (38, 42)).at(0, 0) == ReceptiveField(((0, 37), (0, 41)), ((0, 38), (0, 42)))


def test_it_goes_by_the_size_of_the_images(tmp_path: Path) -> None:
    network = load(tmp_path, CHAIN)
    assert ReceptiveFields(network, "b", (15, 20)).of().rectangle == ((0, 15), (0, 20))
    assert ReceptiveFields(network, "data").at(3, 4).rectangle == ((3, 4), (4, 5))
    with pytest.raises(TargetError, match="no layer 'e'"):
        ReceptiveFields(network, "e")
