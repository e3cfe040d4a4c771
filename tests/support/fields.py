"""Nets of one layer with an extreme number in one field of its parameters, found through protobuf's descriptors; a program of its own.

``python -m tests.support.fields SEED COUNT`` tries a sample of them, all with COUNT 0, and prints one line for each that is neither computed nor
refused by a DreamoptError within its time, and at last how many were. A crash of the process shows in its exit status.
"""

from __future__ import annotations

import inspect
import math
import random
import re
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf import text_format

from dreamopt.engine.layer import Example, Layer
from dreamopt.engine.layer_types import known_types, layer_class
from dreamopt.engine.net import Net
from dreamopt.errors import DreamoptError
from dreamopt.schema import read_net
from dreamopt.schema.caffe_pb2 import LayerParameter, NetParameter
from dreamopt.schema.fields import fields_of
from dreamopt.testing.layers import layer_text

WHOLE = (0, 1, -1, 2, 3, 100, 2**15, 2**16 + 1, 10**6, 2**30, 2**31 - 1, 2**31, 2**32 - 1, -(2**31), 2**63 - 1, -(2**63))
REAL = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-30, 1e30, 3.4e38, -3.4e38, math.inf, -math.inf, math.nan)
SECONDS = 20.0
"""Far more than any takes, on a machine with other work to do."""

Change = Callable[[LayerParameter], None]


def changes_of(message: Any, get: Callable[[Any], Any], path: str) -> Iterator[tuple[str, Change]]:
    """Yield each field of a message's description with each extreme value, as a function that changes a layer."""
    for field in message.fields:
        if field.message_type is not None:

            def inner(layer: Any, field: Any = field) -> Any:
                value = getattr(get(layer), field.name)
                return value if not field.is_repeated else value[0] if len(value) else value.add()

            yield from changes_of(field.message_type, inner, f"{path}{field.name}.")
            continue
        known = fields_of(message)[field.name]
        values = {
            "integer": [value for value in WHOLE if known.lowest <= value <= known.highest],
            "float": REAL,
            "bool": (True, False),
            "enum": tuple(known.choices.values()),
        }.get(known.kind, ())
        for value in values:
            for times in (1, 2, 3, 4, 40) if field.is_repeated else (0,):

                def change(layer: Any, name: str = field.name, value: Any = value, times: int = times) -> None:
                    if times:
                        del getattr(get(layer), name)[:]
                        getattr(get(layer), name).extend([value] * times)
                    else:
                        setattr(get(layer), name, value)

                yield f"{path}{field.name} = {value}" + (f", {times} times" if times else ""), change


def cases() -> Iterator[tuple[str, Example, str, Change]]:
    """Yield (type, example, what is changed, how) for all blocks of parameters that each type's code names."""
    own = {field.name: field for field in LayerParameter.DESCRIPTOR.fields if field.message_type is not None and not field.is_repeated}
    for name in known_types():
        kind = layer_class(name, name, name)
        if kind.__module__.startswith("dreamopt.engine.layers") and name != "Python":
            for example in kind.examples:
                for block in sorted(_blocks(kind) & own.keys()):
                    for what, change in changes_of(own[block].message_type, lambda layer, block=block: getattr(layer, block), f"{block}."):
                        yield name, example, what, change


def _blocks(kind: type[Layer]) -> set[str]:
    modules = [cls.__module__ for cls in kind.__mro__ if cls.__module__.startswith("dreamopt.engine.layers")]
    return {word for module in modules for word in re.findall(r"\b\w+_param\b", inspect.getsource(sys.modules[module]))}


def try_one(name: str, example: Example, change: Change) -> None:
    """Make the net, and compute it forwards and backwards in both ways."""
    message = NetParameter()
    text_format.Parse(layer_text(name, example), message)
    change(message.layer[-1])
    net = Net(read_net(message, phase=example.phase, keep=("DummyData",)))
    for blob in (net.blobs[name] for name in net.inputs):
        numbers = blob.data.reshape(-1)
        numbers[:] = np.resize(np.linspace(0, 1, 997, dtype=np.float32), numbers.size)
    net.forward()
    net.backward()
    for target in net.outputs[:1]:
        program = net.program([target])
        inputs = {name: torch.rand(net.blobs[name].shape, requires_grad=True) for name in program.inputs}
        made = program(inputs)[target]
        if made.requires_grad:
            made.sum().backward()


def main(seed: int, count: int) -> None:
    """Try them in a process of little memory."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    chosen = list(cases())
    if count:
        chosen = random.Random(seed).sample(chosen, count)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 900 * 2**20,) * 2)
    computed = refused = 0
    for name, example, what, change in chosen:
        begin = time.monotonic()
        try:
            try_one(name, example, change)
            computed += 1
        except DreamoptError as problem:
            refused += 1
            if len(str(problem)) < 20 or "\n" in str(problem):
                print(f"{name}: {what}: no sentence: {problem}")
        except Exception as problem:
            print(f"{name}: {what}: {type(problem).__name__}: {problem}")
        if time.monotonic() - begin > SECONDS:
            print(f"{name}: {what}: took {time.monotonic() - begin:.0f} s")
    print(f"{computed} computed, {refused} refused, of {len(chosen)}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
