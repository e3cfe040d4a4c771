"""A recorded pass gives what the kernels give one by one, whoever else passes, changes weights or goes back twice."""

import pytest
import torch
from torch import Tensor

from dreamopt.engine import Net
from dreamopt.engine.executor import recording
from dreamopt.engine.executor.blocks import Blocks
from dreamopt.engine.executor.program import Program
from dreamopt.engine.executor.recording import NotRecordableError, Tape
from tests.support.native import needs_kernels
from tests.support.nets import conv, layer
from tests.unit.engine.test_executor_memory import SHARED
from tests.unit.engine.test_fusion import NETS, make

pytestmark = needs_kernels

DENSE = (
    conv("c", "data", 7, "kernel_size: 3 stride: 2")
    + layer("bn", "BatchNorm", "c")
    + layer("sc", "Scale", "bn", more="scale_param { bias_term: true filler { type: 'uniform' min: 0.5 } }", tops="bn")
    + layer("r", "ReLU", "bn", tops="bn")
    + conv("d", "bn", 5, "kernel_size: 3 pad: 1")
    + layer("cat", "Concat", "c d")
    + layer("p", "PReLU", "cat", tops="p")
    + layer("soft", "Softmax", "p")
)
CASES = {"inception": NETS["inception"], "residual": NETS["residual"], "shared": (SHARED, ("top", "ab")), "dense": (DENSE, ("soft", "d"))}


def image(seed: int, samples: int = 1) -> Tensor:
    return torch.randn(samples, 3, 38, 45, generator=torch.Generator().manual_seed(seed))


def evaluate(program: Program, x: Tensor) -> list[Tensor]:
    xs = x.clone().requires_grad_()
    values = [*program({"data": xs}).values()]
    seeds = [torch.linspace(-1, 2, y.numel()).reshape(y.shape) for y in values]
    return [*[y.detach() for y in values], *torch.autograd.grad(values, xs, seeds)]


def is_recorded(program: Program) -> bool:
    return program._executor.recordings._recording is not None


def recorded(net: Net, wanted: tuple[str, ...]) -> Program:
    """A program whose passes of `image` are recorded, there and back."""
    program = net.program(wanted)
    for seed in range(2):
        evaluate(program, image(seed))
    assert is_recorded(program)
    return program


def unrecorded(net: Net, wanted: tuple[str, ...]) -> Program:
    program = net.program(wanted)
    program._executor.recordings._blobs = None
    return program


def same(found: list[Tensor], expected: list[Tensor]) -> bool:
    return len(found) == len(expected) and all(map(torch.equal, found, expected))


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_same_bits(name: str, samples: int) -> None:
    text, wanted = CASES[name]
    net = make(text)
    program, other = net.program(wanted), unrecorded(net, wanted)
    found = [evaluate(program, image(seed, samples)) for seed in range(4)]
    assert is_recorded(program)
    assert not is_recorded(other)
    for seed in range(4):
        assert same(found[seed], evaluate(other, image(seed, samples)))  # also that later passes wrote over no result


def test_kernels_that_may_do_anything_are_not_recorded() -> None:
    text, wanted = NETS["overlooked"]
    program = make(text).program(wanted)
    for seed in range(3):
        evaluate(program, image(seed))
    assert not is_recorded(program)


def test_weights_that_change_count_at_once() -> None:
    text, wanted = CASES["dense"]
    net = make(text)
    program = recorded(net, wanted)
    for name in ("c", "sc", "p"):
        net.params[name][0].data[...] *= 1.5
        for _ in range(3):
            assert same(evaluate(program, image(7)), evaluate(unrecorded(net, wanted), image(7)))
    assert is_recorded(program)
    view = net.params["d"][0].data
    for factor in (2, 3):
        view[...] *= factor
        assert same(evaluate(program, image(7)), evaluate(unrecorded(net, wanted), image(7)))


def test_passes_that_have_yet_to_go_back() -> None:
    text, wanted = CASES["inception"]
    net = make(text)
    program, other = recorded(net, wanted), unrecorded(net, wanted)
    images = [image(seed).requires_grad_() for seed in (11, 12, 13)]
    tops = [program({"data": x})["out"] for x in images]
    found = [torch.autograd.grad(y, x, torch.ones_like(y))[0] for x, y in zip(images, tops, strict=True)]
    for x, y, g in zip(images, tops, found, strict=True):
        top = other({"data": x})["out"]
        assert torch.equal(y, top)
        assert torch.equal(g, torch.autograd.grad(top, x, torch.ones_like(top))[0])


def test_back_twice_and_not_thrice() -> None:
    text, wanted = CASES["residual"]
    program = recorded(make(text), wanted)
    x = image(5).requires_grad_()
    y = program({"data": x})["fc"]
    first, again = (torch.autograd.grad(y, x, torch.ones_like(y), retain_graph=True)[0] for _ in range(2))
    (twice,) = torch.autograd.grad(y, x, torch.full_like(y, 2))
    assert torch.equal(first, again)
    torch.testing.assert_close(twice, 2 * first)
    with pytest.raises(RuntimeError, match="retain_graph"):
        torch.autograd.grad(y, x, torch.ones_like(y))


def test_gradients_of_some_of_the_values() -> None:
    text, wanted = CASES["dense"]
    net = make(text)
    program, other = recorded(net, wanted), unrecorded(net, wanted)
    for _ in range(2):
        for name in wanted:
            x = image(5).requires_grad_()
            found, expected = (torch.autograd.grad(p({"data": x})[name].square().sum(), x)[0] for p in (program, other))
            assert torch.equal(found, expected)


def test_a_pass_that_nobody_goes_back_from_lets_the_next_one_in() -> None:
    text, wanted = CASES["inception"]
    program = recorded(make(text), wanted)
    kept = program({"data": image(1).requires_grad_()})["out"]
    assert program._executor.recordings._recording is not None
    _, record = program._executor.recordings._recording
    assert record.take() is None
    del kept
    assert record.take() is not None


def test_another_shape_and_another_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    text, wanted = CASES["inception"]
    net = make(text)
    program, other = recorded(net, wanted), unrecorded(net, wanted)
    larger = torch.randn(2, 3, 50, 41, generator=torch.Generator().manual_seed(3))
    for x in (larger, larger, image(4), larger, image(4)):
        assert same(evaluate(program, x), evaluate(other, x))
    program = recorded(net, wanted)
    x = image(4).requires_grad_()
    y = program({"data": x})["out"]
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    (g,) = torch.autograd.grad(y, x, torch.ones_like(y))
    monkeypatch.undo()
    top = other({"data": x})["out"]
    assert torch.equal(g, torch.autograd.grad(top, x, torch.ones_like(top))[0])


def test_few_recordings_stay_and_none_where_memory_is_wanted() -> None:
    text, wanted = CASES["dense"]
    net = make(text)
    programs = [recorded(net, wanted) for _ in range(recording._MOST + 2)]
    assert [is_recorded(program) for program in programs] == [False] * 2 + [True] * recording._MOST
    recording.drop_all()
    assert not any(map(is_recorded, programs))
    assert same(evaluate(programs[-1], image(3)), evaluate(unrecorded(net, wanted), image(3)))


def test_large_inputs_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "LARGEST", 3 * 38 * 45 - 1)
    program = make(CASES["dense"][0]).program(("d",))
    for seed in range(3):
        evaluate(program, image(seed))
    assert not is_recorded(program)


def test_what_is_random_or_read_by_python_is_refused() -> None:
    x = torch.ones(3)
    for refused in (lambda: torch.rand(3) * x, x.sum().item):
        with pytest.raises(NotRecordableError), Tape(Blocks(least=0, step=64, chunk=1 << 12)).taping():
            refused()


def test_tapes_of_operators() -> None:
    arena = Blocks(least=0, step=64, chunk=1 << 12)
    x = arena.empty((2, 3), torch.float32, torch.device("cpu")).copy_(torch.arange(6.0).reshape(2, 3))
    tape = Tape(arena)
    with tape.taping():
        doubled = x + x
        part = doubled[:, 1:]
        part.mul_(10)
        both = torch.cat([part, x], 1)
    for number in (1.0, 7.0):
        x.fill_(number)
        tape.play()
        assert both.tolist() == [[20 * number] * 2 + [number] * 3] * 2
    assert arena.holds(x)
    assert not arena.holds(both)
    alias = arena.alias(x[1:])
    del x
    assert alias.tolist() == [[7.0] * 3]
    assert arena.empty((2, 3), torch.float32, torch.device("cpu")).data_ptr() == alias.data_ptr() - 12
