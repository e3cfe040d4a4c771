"""The memory of large dreams, and of passes, in processes of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DREAM = """
import json, sys
import numpy as np, dreamopt
from tests.support.resident import peak
net = dreamopt.load_net(sys.argv[1], device="cpu")
image = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), dtype=np.uint8)
made = dreamopt.dream(net, image, "inception_4c/output", steps=1, octaves=2, memory=int(sys.argv[2]))
print(json.dumps([peak(), list(made.image.shape), int(np.abs(made.image.astype(int) - image).max())]))
"""
PASS = """
import ctypes, json, sys
import torch, dreamopt
from pathlib import Path
from tests.support.resident import peak
net = dreamopt.load_net(sys.argv[1], device="cpu")
layer, size = net.resolve(sys.argv[2]), (576, 640)
net.activations(torch.zeros(1, *net.input_shape), [layer])
x = 50 * torch.randn(1, 3, *size)
trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
if trim is not None:
    trim(0)  # what the first pass left free would serve the second, and not be counted
before = 1024 * int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0])
x.requires_grad_()
torch.autograd.grad(net.activations(x, [layer])[layer].square().mean(), x)
print(json.dumps([peak() - before, net.memory_of([layer], size)]))
"""
linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")


def answer(script: str, *arguments: object) -> list:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return json.loads(done.stdout)


@linux
def test_a_dream_of_1920_x_1080_pixels_takes_less_than_it_may(shared: Path) -> None:
    resident, shape, moved = answer(DREAM, shared / "nets/googlenet.prototxt", 1_200_000_000)
    assert resident <= 1_200_000_000
    assert shape == [1080, 1920, 3]
    assert moved > 0


@linux
@pytest.mark.parametrize(
    ("net", "layer"), [("googlenet", "inception_4c/output"), ("resnet50", "res4b"), ("mobilenet", "conv5_3/sep"), ("vgg_cnn_s_v1", "conv4")]
)
def test_memory_of_is_what_a_pass_takes(shared: Path, net: str, layer: str) -> None:
    took, estimate = answer(PASS, shared / f"nets/{net}.prototxt", layer)
    assert estimate == pytest.approx(took, rel=0.4)
