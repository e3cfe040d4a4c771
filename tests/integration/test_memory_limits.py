"""What asks for more memory than there is: refused by a sentence, and the net works on."""

from __future__ import annotations

import re
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
        try:
            dreamopt.render(net, "pool5:1", steps=1, size=4000)
        except OutOfMemoryError as problem:
            print(problem)
        [one] = dreamopt.render(net, "pool5:1", size=48, steps=1)
        print(one.image.shape)
    """)
    refused, shape = out.splitlines()
    assert refused.startswith("a batch of 1 image of 4000 x 4000 pixels takes ")
    assert "would fit" in refused
    assert shape == "(48, 48, 3)"


HALVES = """
import importlib
execute = importlib.import_module("dreamopt.recipes.execute")
options = {"targets": ["pool5:1-3", "pool5:8-10"], "size": 224, "steps": 2}
single = dreamopt.render(net, **options, batch_size=1)
memory.release_memory(reserves=True)
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 70 * 2**20, resource.getrlimit(resource.RLIMIT_AS)[1]))
said = []
warnings.simplefilter("always")
warnings.showwarning = lambda message, *_: said.append(str(message))

def made_together():
    found = dreamopt.render(net, **options, batch_size=6)
    assert [(one.sample.text, one.metadata["place_in_batch"]) for one in found] == [(one.sample.text, k % 6) for k, one in enumerate(single)]
    print(max(np.abs(one.image.astype(float) - other.image).max() for one, other in zip(found, single, strict=True)))
    print(*said, sep=chr(10))
"""


def test_a_batch_too_large_is_made_in_parts_with_the_same_images() -> None:
    off, said = run_limited(HALVES + "made_together()").splitlines()
    assert float(off) <= 1
    assert said.startswith("a batch of 6 images does not fit into the memory that is free: they are made ")


def test_memory_that_really_runs_out_halves_the_batch_and_the_images_stay() -> None:
    out = run_limited(
        HALVES
        + """
# What would be foreseen is let pass, so that the allocator is the one to fail.
execute.in_memory = lambda plan, network, *_: network
memory.free_memory = lambda device="cpu": None
execute.most_at_once = lambda plan, network, number: len(plan.batches[number])
made_together()
"""
    )
    off, first, *_ = out.splitlines()
    assert float(off) <= 1
    # Which of the passes is the first that fails depends on the allocator.
    assert re.fullmatch(
        r"memory ran out (in a pass|with a batch) of [4-6] images: (from now on they pass|they are made) [23] at a time", first
    )


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
