"""The limits of sizes hold before a net, or an image, is handed to real Caffe, which would end the process."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import dreamopt.caffe
from dreamopt.backends.caffe.backend import CaffeBackend
from dreamopt.backends.caffe.in_process import InProcess
from dreamopt.errors import OutOfMemoryError, ShapeError, TooLargeError
from dreamopt.network import Network
from dreamopt.schema import parse_net

NET = """
input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 9 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 40 kernel_size: 3 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
"""


class Connection(InProcess):
    """A connection that remembers what it was asked."""

    def ask(self, header: Any, arrays: Any = ()) -> Any:
        self.asked = [*getattr(self, "asked", []), header["op"]]
        return super().ask(header, arrays)


@pytest.fixture
def connection() -> Connection:
    return Connection("cpu", dreamopt.caffe)  # pycaffe's face; what counts is that it is not asked


def opened(text: str, connection: Connection) -> Network:
    return Network(CaffeBackend(parse_net(text, "net"), None, connection))


def test_weights_beyond_the_memory_are_not_handed_over(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMOPT_MOST_MEMORY", str(10**9))
    with pytest.raises(OutOfMemoryError, match=r"the weights of net '' takes? 2.24 GB, but 1 GB of memory are free"):
        opened(NET.replace("num_output: 40", "num_output: 20000000"), connection)
    assert connection.asked == ["hello"]


def test_a_blob_beyond_caffes_is_not_handed_over(connection: Connection) -> None:
    with pytest.raises(
        TooLargeError, match=r"^net:3: layer 'conv' \(Convolution\): its top 'conv' would have the shape 1x80000000x8x9; a blob"
    ):
        opened(NET.replace("num_output: 40 kernel_size: 3 pad: 1", "num_output: 80000000 kernel_size: 1"), connection)
    assert connection.asked == ["hello"]


def test_an_image_that_makes_too_large_a_blob_is_not_handed_over(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    net = opened(NET, connection)
    before = len(connection.asked)
    with pytest.raises(ShapeError, match="its top 'conv' would have the shape 1x40x8000x9000; a blob has at most 2147483647 values"):
        net.shape_of("relu", (8000, 9000))
    with pytest.raises(ShapeError, match=r"the input 'data' of shape .* has more than 2147483647 values"):
        net.shape_of("relu", (32000, 32000))
    monkeypatch.setenv("DREAMOPT_MOST_MEMORY", str(10**6))
    with pytest.raises(OutOfMemoryError, match=r"a pass of an input of shape \(1, 3, 80, 90\) up to relu takes 2.48 MB, but 1 MB"):
        net.activations(torch.zeros(1, 3, 80, 90), ["relu"])
    assert len(connection.asked) == before
    monkeypatch.delenv("DREAMOPT_MOST_MEMORY")
    assert net.shape_of("relu", (16, 17)) == (40, 16, 17)
    assert net.activations(torch.zeros(2, 3, 16, 17), ["relu"])["relu"].shape == (2, 40, 16, 17)
    assert net.memory_of(["relu"], (16, 17)) == 2 * 4 * (40 + 3) * 16 * 17
