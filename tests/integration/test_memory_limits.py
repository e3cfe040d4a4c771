"""What asks for more memory than there is: refused by a sentence, and the net works on."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits a child's memory as Linux does")

LIMITED = """
import resource, warnings
warnings.simplefilter("ignore")
import numpy as np, torch, dreamopt
from dreamopt.errors import OutOfMemoryError
from dreamopt.parts import memory
torch.set_num_threads(1)
net = dreamopt.load_net()
dreamopt.render(net, "pool5:1", size=32, steps=1)  # all that is loaded late is loaded
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 700 * 2**20,) * 2)
"""


def run_limited(code: str) -> str:
    program = LIMITED + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, env=None, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_render_too_large_is_refused_with_what_would_fit_and_a_small_one_works_afterwards() -> None:
    out = run_limited("""
        for settings in ({"size": 4000}, {"size": 900, "variants": 8}):
            try:
                dreamopt.render(net, "pool5:1", steps=1, **settings)
            except OutOfMemoryError as problem:
                print(problem)
        [one] = dreamopt.render(net, "pool5:1", size=48, steps=1)
        print(one.image.shape)
    """)
    first, second, shape = out.splitlines()
    assert first.startswith("a batch of 1 image of 4000 x 4000 pixels takes ")
    assert "would fit" in first
    assert "a batch of 8 images of 900 x 900 pixels" in second
    assert "would fit" in second
    assert shape == "(48, 48, 3)"


def test_memory_that_runs_out_in_the_middle_is_the_same_error_and_the_net_works_on() -> None:
    out = run_limited("""
        from dreamopt.recipes import execute
        # What is refused beforehand is let pass, so that the allocator is the one to fail.
        execute.in_memory = lambda plan, network, *_: network
        memory.free_memory = lambda device="cpu": None
        for size in (3000, 6000):
            try:
                dreamopt.render(net, "pool5:1", size=size, steps=1)
            except OutOfMemoryError as problem:
                print(problem)
        [one] = dreamopt.render(net, "pool5:1", size=48, steps=1)
        with torch.no_grad():
            print(one.image.shape, tuple(net.activations(torch.zeros(1, 3, 64, 64), ["pool5"])["pool5"].shape))
    """)
    first, second, shapes = out.splitlines()
    assert "ran out of memory" in first
    assert "ran out of memory" in second
    assert shapes.startswith("(48, 48, 3) (1, ")


def test_a_net_of_four_gigabytes_is_described_in_little_memory() -> None:
    out = run_limited("""
        from dreamopt.recipes.inspect import inspect
        from dreamopt.schema import parse_net
        large = dreamopt.load_net(parse_net(
            'input: "data" input_shape { dim: 1 dim: 9 dim: 4 dim: 4 } layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
            'convolution_param { num_output: 100000000 kernel_size: 1 weight_filler { type: "xavier" } } }'
        ), device="cpu")
        print(inspect(large)["totals"]["weights_bytes"])
        try:
            dreamopt.render(large, "c:5", steps=1)
        except OutOfMemoryError as problem:
            print(problem)
    """)
    size, refused = out.splitlines()
    assert size == "4000000000"
    assert "layer 'c' (Convolution): weight 0 of shape 100000000x9x1x1 takes 14.4 GB" in refused


def test_octaves_without_number_are_looked_at_once() -> None:
    out = run_limited("""
        from unittest import mock
        from dreamopt.recipes import memory as room
        with mock.patch.object(room, "need_of", wraps=room.need_of) as looked:
            try:
                dreamopt.render(net, "pool5:1", steps=1, size=20000, octaves=2000, octave_scale=1.0001)
            except OutOfMemoryError as problem:
                print(problem)
        print(looked.call_count, [call.args[2].size for call in looked.call_args_list])
    """)
    refusal, looked = out.splitlines()
    assert refusal.startswith("a batch of 1 image of 20000 x 20000 pixels takes ")
    assert looked == "1 [(20000, 20000)]"
