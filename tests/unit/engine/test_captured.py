"""Recorded passes: the same numbers by replays, captured anew where weights change, and run as ever where they cannot be captured."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from dreamopt.backends.engine import EngineBackend
from dreamopt.engine import Net
from dreamopt.engine.executor import captured as module
from dreamopt.engine.executor.captured import CapturedExecutor, CudaCapturer, capturer_for
from dreamopt.engine.executor.program import Program
from dreamopt.engine.native import library
from dreamopt.network import load_net
from dreamopt.optimize import run
from dreamopt.optimize.optimizers.adam import Adam
from dreamopt.problem import Problem
from dreamopt.schema import parse_net
from tests.support.capturing import FakeCapturer
from tests.support.nets import conv, image_input, layer

TEXT = (
    image_input(shape=(2, 3, 14, 11))
    + conv("a", "data", 6, "kernel_size: 3 pad: 1", relu=True)
    + layer("p", "Pooling", "a", more="pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
    + layer("n", "LRN", "p", more="lrn_param { local_size: 3 alpha: 0.1 }")
    + conv("b", "n", 4, relu=True)
    + conv("c", "n", 5, "kernel_size: 3 pad: 1")
    + layer("joined", "Concat", "b c")
    + layer("s", "Sigmoid", "joined")
    + layer("fc", "InnerProduct", "s", more="inner_product_param { num_output: 7 weight_filler { type: 'xavier' } }")
)


@pytest.fixture(autouse=True)
def torch_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let torch compute everything, as on a GPU: what else does is not captured."""
    monkeypatch.setenv("DREAMOPT_NATIVE", "0")
    monkeypatch.setattr(FakeCapturer, "made", [])
    library.cache_clear()
    yield
    monkeypatch.undo()
    library.cache_clear()


def both(net: Net, layers: list[str], capturer: Any = FakeCapturer) -> tuple[Program, Program, CapturedExecutor]:
    program = net.program(layers, capturer=capturer)
    assert program._captured is not None
    return net.program(layers), program, program._captured


def image(seed: int, shape: tuple[int, ...] = (2, 3, 14, 11)) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3


def passes(program: Program, x: Tensor, layers: list[str]) -> list[Tensor]:
    leaf = x.clone().requires_grad_()
    values = program({"data": leaf})
    total = torch.stack([(values[name] * torch.linspace(-1, 2, values[name].numel()).reshape(values[name].shape)).sum() for name in layers])
    return [*(values[name].detach() for name in layers), *torch.autograd.grad(total.sum(), leaf)]


def same(found: list[Tensor], wanted: list[Tensor]) -> None:
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("layers", [["fc"], ["fc", "c"]])
def test_replays_give_what_passes_give(layers: list[str]) -> None:
    plain, program, executor = both(Net(parse_net(TEXT, "net"), seed=3), layers)
    results = []
    for seed in range(5):
        found = passes(program, image(seed), layers)
        same(found, passes(plain, image(seed), layers))
        results.append((found, [y.clone() for y in found]))
    assert (executor.captured, executor.replayed) == (1, 4), "the first pass of a shape is run"
    (capturer,) = FakeCapturer.made
    assert (capturer.warm_ups, [graph.replays for graph in capturer.graphs]) == (1, [5, 5]), "the fifth was to see whether it is right"
    for found, before in results:  # what was handed out is nobody's buffer
        assert all(map(torch.equal, found, before))


def test_forward_passes_alone_and_other_shapes_have_recordings_of_their_own() -> None:
    plain, program, executor = both(Net(parse_net(TEXT.replace("fc", "unused"), "net"), seed=3), ["s"])
    for seed, shape in enumerate([(2, 3, 14, 11), (1, 3, 9, 17)] * 3):
        x = image(seed, shape)
        assert torch.allclose(program({"data": x})["s"], plain({"data": x})["s"], rtol=1e-6)
    assert executor.captured == 2
    assert [len(capturer.graphs) for capturer in FakeCapturer.made] == [1, 1], "no backward pass was wanted"
    same(passes(program, image(9), ["s"]), passes(plain, image(9), ["s"]))
    same(passes(program, image(8), ["s"]), passes(plain, image(8), ["s"]))
    assert executor.captured == 3


def test_a_backward_pass_is_that_of_its_own_forward_pass() -> None:
    plain, program, executor = both(Net(parse_net(TEXT, "net"), seed=3), ["fc"])
    passes(program, image(0), ["fc"])
    leaves = [image(seed).requires_grad_() for seed in (1, 2)]
    values = [program({"data": leaf})["fc"] for leaf in leaves]
    assert executor.replayed == 2
    for leaf, value, seed in reversed([*zip(leaves, values, (1, 2), strict=True)]):
        (found,) = torch.autograd.grad(value.sum(), leaf, retain_graph=True)
        again = image(seed).requires_grad_()
        (wanted,) = torch.autograd.grad(plain({"data": again})["fc"].sum(), again)
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-7)
        assert torch.equal(torch.autograd.grad(value.sum(), leaf)[0], found)


def test_changed_weights_are_recorded_anew() -> None:
    net = Net(parse_net(TEXT, "net"), seed=3)
    plain, program, executor = both(net, ["fc"])
    for seed in range(3):
        passes(program, image(seed), ["fc"])
    for count, name in enumerate(("a", "fc"), 2):
        net.params[name][0].data[...] *= -2
        same(passes(program, image(4), ["fc"]), passes(plain, image(4), ["fc"]))
        assert executor.captured == count
    view = net.params["a"][0].data
    net.params["a"][0].data[...] += 0.1
    for seed in range(3):
        view[0] += 1  # at any moment, and nobody is asked
        same(passes(program, image(seed), ["fc"]), passes(plain, image(seed), ["fc"]))
    assert executor.captured == 3


def test_shapes_that_change_all_the_time_are_not_recorded_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TRIED", 2)
    plain, program, executor = both(Net(parse_net(TEXT, "net"), seed=3), ["joined"])
    for width in range(8, 16):
        for _ in range(2):
            x = image(width, (1, 3, 9, width))
            same(passes(program, x, ["joined"]), passes(plain, x, ["joined"]))
    assert executor.captured == 2


def test_what_waits_for_a_value_or_is_drawn_is_run_as_ever() -> None:
    net = Net(parse_net(TEXT, "net"), seed=3)
    plain, program, executor = both(net, ["fc"])

    class Refusing(FakeCapturer):
        def capture(self, run: Any) -> Any:
            return super().capture(lambda: (torch.ones(()).item(), run())[1])

    program = net.program(["fc"], capturer=Refusing)
    for seed in range(4):
        same(passes(program, image(seed), ["fc"]), passes(plain, image(seed), ["fc"]))
    assert program._captured is not None
    assert (program._captured.captured, program._captured.replayed) == (1, 0)
    assert list(program._captured.refused.values()) == ["operation not permitted when stream is capturing"]
    dropout = TEXT + layer("d", "Dropout", "s", more="dropout_param { dropout_ratio: 0.5 }")
    _, program, executor = both(Net(parse_net(dropout, "net", phase="TRAIN"), seed=3), ["d"])
    values = [program({"data": image(1)})["d"] for _ in range(4)]
    assert not torch.equal(values[2], values[3])
    assert (executor.captured, executor.replayed) == (1, 0)


def test_layers_that_the_host_decides_on_are_never_recorded() -> None:
    text = image_input(shape=(3, 1, 1, 1)) + layer("f", "Filter", "data data", "kept")
    assert Net(parse_net(text, "net")).program(["kept"], capturer=FakeCapturer)._captured is None


def test_rules_and_layers_one_by_one_are_run() -> None:
    from dreamopt.engine.rule_list import parse_rules

    _, program, executor = both(Net(parse_net(TEXT, "net"), seed=3), ["fc"])
    for _ in range(3):
        x = image(1).requires_grad_()
        program({"data": x}, rule=parse_rules("guided"))
        program({"data": x}, {})
        program({"data": x}, acted={})
    assert executor.captured == 0


def test_a_run_is_the_same_by_replays() -> None:
    """With random transforms and a score in between, and steps of both kinds."""
    found = []
    for capturer in (None, FakeCapturer):
        network = load_net(device="cpu")
        backend = network.backend
        assert isinstance(backend, EngineBackend)
        assert backend.capturer is None, "nothing is captured on a CPU"
        backend.capturer = capturer
        problem = Problem(network, "mixed3:2 - 0.1*conv2:1", ["total_variation(1e-5)"], 36, batch=2, transforms=["jitter(3)"], redirected=2)
        found.append(run(problem, Adam(2), 7, seed=4))
    torch.testing.assert_close(found[1].best_values, found[0].best_values, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1].params, found[0].params, rtol=1e-4, atol=1e-3)
    assert sum(graph.replays for capturer in FakeCapturer.made for graph in capturer.graphs) > 6


def test_the_environment_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    monkeypatch.delenv("DREAMOPT_CUDA_GRAPHS", raising=False)
    assert capturer_for(gpu) is None
    monkeypatch.setenv("DREAMOPT_CUDA_GRAPHS", "1")
    assert capturer_for(gpu) is CudaCapturer
    assert capturer_for(cpu) is None


def test_the_order_of_torchs_calls_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one: warm-up on the stream that captures, both waiting for each other, then the graph on it with the one pool."""
    calls: list[str] = []

    class Stream:
        def __init__(self, name: str) -> None:
            self.name = name

        def wait_stream(self, other: Stream) -> None:
            calls.append(f"{self.name} waits for {other.name}")

    class Entered:
        def __init__(self, text: str) -> None:
            self.text = text

        def __enter__(self) -> None:
            calls.append(f"enter {self.text}")

        def __exit__(self, *_: object) -> None:
            calls.append(f"leave {self.text}")

    fake = SimpleNamespace(
        Stream=lambda device: Stream("side"),
        current_stream=lambda: Stream("main"),
        graph_pool_handle=lambda: "pool",
        CUDAGraph=lambda: "graph",
        device=lambda device: Entered(str(device)),
        stream=lambda stream: Entered(stream.name),
        graph=lambda graph, pool, stream: Entered(f"{graph} {pool} {stream.name}"),
    )
    monkeypatch.setattr(torch, "cuda", fake)
    capturer = CudaCapturer(torch.device("cuda:1"))
    capturer.warm_up(lambda: calls.append("run"))
    assert calls == ["enter cuda:1", "side waits for main", "enter side", "run", "leave side", "main waits for side", "leave cuda:1"]
    calls.clear()
    assert capturer.capture(lambda: calls.append("run") or 5) == ("graph", 5)  # type: ignore[func-returns-value]  # append's None is meant
    assert calls == ["enter cuda:1", "enter graph pool side", "run", "leave graph pool side", "leave cuda:1"]
