"""Nets with extreme numbers, of extreme length, or built to multiply: a value or a sentence, in little time and memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dreamopt.errors import NetError, PrototxtError
from dreamopt.schema import parse_net
from dreamopt.schema.caffe_pb2 import NetParameter

INPUT = 'input: "data" input_shape { dim: 1 dim: 3 dim: 4 dim: 5 }\n'
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="limits a child's memory as Linux does")
def test_extreme_numbers_in_every_field_of_every_layer_type() -> None:
    count = os.environ.get("DREAMOPT_TEST_FIELDS", "500")  # 0 tries all: some minutes
    words = [sys.executable, "-m", "tests.support.fields", "10", count]
    done = subprocess.run(words, capture_output=True, text=True, timeout=1200, cwd=ROOT, check=False)
    assert done.returncode == 0, f"the process ended with {done.returncode}: {done.stderr[-2000:]}"
    *wrong, last = done.stdout.splitlines()
    assert wrong == []
    computed, refused, total = map(int, re.findall(r"\d+", last))
    assert computed + refused == total
    assert min(computed, refused) > 100 * (count == "500")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer { }\n" * 20_001, r"net:20001: layer 20001 begins here, but at most 20000 are allowed, unless DREAMOPT_MOST_LAYERS"),
        (
            INPUT + 'layer { name: "c" type: "Slice" bottom: "data" ' + 'top: "t" ' * 200_001 + "}",
            "the net has 200002 bottoms and tops, but at most 200000 are allowed",
        ),
        (
            'layer { name: "c" type: "DummyData" ' + " ".join(f'top: "t{i}"' for i in range(257)) + " }",
            "the net has 257 tops of layers that read nothing, and inputs, but at most 256 are allowed, unless DREAMOPT_MOST_INPUTS",
        ),
        ("".join(f'input: "x{i}" ' for i in range(300)) + 'layer { name: "r" type: "ReLU" bottom: "x0" top: "r" }', "at most 256"),
        ("layer { a " + "{ b " * 300_000, "no closing '}'"),
        ('input: "data" input_shape { ' + "dim: 9 " * 1000 + '}\nlayer { name: "r" type: "ReLU" bottom: "data" top: "r" }', "has 1000 dim"),
        ('input: "data" input_shape { dim: -3 }\nlayer { name: "r" type: "ReLU" bottom: "data" top: "r" }', "sizes are 0 or more"),
        (
            'layer { name: "d" type: "Data" top: "d" data_param { batch_size: 70000 } transform_param { crop_size: 70000 } }\n'
            'layer { name: "r" type: "ReLU" bottom: "d" top: "r" }',
            r"net:1: layer 'd' \(Data\) has the shape \(70000, 3, 70000, 70000\), but sizes are",
        ),
        (
            INPUT + 'layer { name: "p" type: "Power" bottom: "data" top: "p" power_param { shift: nan } }',
            "net:2: .*power_param.shift is nan",
        ),
        (
            INPUT + 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param {\n kernel_size: 4000000000 } }',
            "net:3: .*pooling_param.kernel_size is 4000000000, but Caffe counts up to 2147483647",
        ),
    ],
    ids=["layers", "blobs", "data tops", "inputs", "nesting", "axes", "negative", "data size", "nan", "beyond int"],
)
def test_what_no_net_has_is_refused(text: str, message: str) -> None:
    with pytest.raises(NetError, match=message):
        parse_net(text, "net")


def test_a_text_of_too_many_words_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMOPT_MOST_TOKENS", "1000")
    with pytest.raises(
        PrototxtError, match=r"^net:334: the text has too many names, numbers and signs: at most 1000 are allowed, unless DREAMOPT"
    ):
        parse_net("layer { }\n" * 400, "net")


def test_a_message_without_text_is_limited_too() -> None:
    net = NetParameter()
    for _ in range(20_001):
        net.layer.add(type="ReLU", bottom=["x"], top=["x"])
    from dreamopt.schema import read_net

    with pytest.raises(NetError, match="the net has 20001 layers"):
        read_net(net)


def test_bounds_may_be_infinite() -> None:
    text = INPUT + 'layer { name: "c" type: "Clip" bottom: "data" top: "c" clip_param { min: 0 max: inf } }'
    assert parse_net(text).param.layer[1].clip_param.max == float("inf")


@pytest.mark.parametrize(
    "body",
    [
        lambda n: "\n".join(f'layer {{ name: "l{i}" type: "ReLU" bottom: "data" top: "b{i}" }}' for i in range(n)),
        lambda n: "\n".join(f'layer {{ name: "l{i}" type: "ReLU" bottom: "data" top: "data" }}' for i in range(n)),
        lambda n: 'layer { name: "c" type: "Concat" top: "c" ' + 'bottom: "data" ' * n + "}",
        lambda n: 'layer { name: "l" bottom: "data" top: "b" ' + "zork: 3 " * (5 * n) + ' type: "ReLU" }',
        lambda n: 'layer { name: "l" type: "ReLU" bottom: "data" top: "b" ' + 'include { stage: "a" } ' * n + " include { } }",
        lambda n: "state { " + " ".join(f'stage: "s{i}"' for i in range(n)) + " }\n"
        + "\n".join(f'layer {{ name: "l{i}" type: "ReLU" bottom: "data" top: "b{i}" include {{ stage: "s1" }} }}' for i in range(n)),
    ],
    ids=["fan", "in place", "one bottom often", "unknown fields", "rules", "stages"],
)  # fmt: skip
def test_work_grows_with_the_length_of_the_file(body: object) -> None:
    """Count calls of functions, not seconds: twice the net is about twice the work."""
    import dreamopt.engine.net
    from dreamopt.engine.graph import NetGraph, insert_splits

    def calls(n: int) -> int:
        counted = 0

        def count(frame: object, event: str, arg: object) -> None:
            nonlocal counted
            counted += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                NetGraph(insert_splits(parse_net(INPUT + body(n))))  # type: ignore[operator]  # a lambda of the table
        finally:
            sys.setprofile(None)
        return counted

    assert dreamopt.engine.net is not None  # imported before calls are counted
    calls(10)
    assert calls(800) < 2.4 * calls(400) + 500
