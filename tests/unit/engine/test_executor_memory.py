"""What an executor keeps for large maps, and where it writes gradients: the numbers stay."""

import errno
import gc
import mmap
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from dreamopt.engine.executor import masks, pooling
from dreamopt.engine.executor.blocks import LEAST, Blocks, passing
from dreamopt.engine.layers import lrn
from dreamopt.engine.layers._axes import channels_last
from dreamopt.parts.memory import release_memory
from tests.support.nets import conv, layer
from tests.unit.engine.test_fusion import NETS, both, check, make, tape_of

# Gradients that several layers share: a Sum gives both its bottoms the same, a Concat parts of one.
SHARED = (
    conv("a", "data", 3, "kernel_size: 3 pad: 1", relu=True)
    + conv("b", "data", 2, "kernel_size: 1", relu=True)
    + layer("ab", "Concat", "a b")
    + layer("ba", "Concat", "b a")
    + layer("sum", "Eltwise", "ab ba")
    + layer("relu", "ReLU", "sum", tops="sum")
    + layer("both", "Concat", "sum ab")
    + layer("twice", "Eltwise", "both both")
    + conv("top", "twice", 4, "kernel_size: 3 stride: 2", relu=True)
)


@pytest.fixture
def all_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small maps be treated as large ones are."""
    monkeypatch.setattr(masks, "SMALL", 0)
    monkeypatch.setattr(pooling, "SMALL", 0)
    monkeypatch.setattr(pooling, "_STRIP", 300)
    monkeypatch.setattr(lrn, "_STRIP", 200)


@pytest.mark.usefixtures("all_large")
@pytest.mark.parametrize("name", [*NETS, "shared"])
@pytest.mark.parametrize("samples", [1, 2])
def test_same_numbers(name: str, samples: int) -> None:
    text, wanted = {**NETS, "shared": (SHARED, ("top", "ab"))}[name]
    x = torch.randn(samples, 3, 38, 45, generator=torch.Generator().manual_seed(7))
    check(both(make(text), wanted, x))


def bottoms() -> Iterator[tuple[pooling.Windows, tuple[int, ...], tuple[int, ...]]]:
    for kernel, stride, pad, ceil in (((3, 2), (2, 1), (1, 0), True), ((3, 3), (1, 2), (1, 1), False), ((1, 2), (3, 2), (0, 1), False)):
        for shape in ((1, 5, 31, 26), (2, 3, 17, 22)):
            windows = pooling.Windows(kernel, stride, pad, (1, 1), ceil)
            yield windows, shape, tuple(torch.nn.functional.max_pool2d(torch.empty(shape), *windows).shape)


@pytest.mark.parametrize(("windows", "bottom", "top"), [*bottoms()])
@pytest.mark.parametrize("values", [1, 200, 500])
def test_pooling_in_strips(
    windows: pooling.Windows, bottom: tuple[int, ...], top: tuple[int, ...], values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooling, "_STRIP", values)
    x = channels_last(torch.randn(bottom, generator=torch.Generator().manual_seed(3))).requires_grad_()
    grad = torch.randn(top, generator=torch.Generator().manual_seed(4))
    y = torch.nn.functional.max_pool2d(x, *windows)
    strips = pooling.Strips(windows, bottom, top)
    found, kept = strips.forward(x.detach())
    assert torch.equal(found, y)
    assert kept.element_size() == 2
    torch.testing.assert_close(strips.backward(channels_last(grad), kept), torch.autograd.grad(y, x, grad)[0])


def test_lrn_in_strips_is_written_over_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    x = channels_last(torch.randn(2, 37, 4, 5, generator=torch.Generator().manual_seed(3)))
    grad = channels_last(torch.randn(2, 37, 4, 5, generator=torch.Generator().manual_seed(4)))
    settings = (5, 0.3, 0.75, 1.5)
    y, kept = lrn.lrn_forward(x, *settings, keep=True)
    dx = lrn.lrn_backward(kept, grad, *settings)
    monkeypatch.setattr(lrn, "_STRIP", 100)
    in_strips, kept = lrn.lrn_forward(x, *settings, keep=True)
    assert len(kept) == 1
    torch.testing.assert_close(in_strips, y)
    torch.testing.assert_close(lrn.lrn_backward(kept, grad, *settings), dx)
    found = lrn.lrn_backward(kept, grad, *settings, mine=True)
    assert found.data_ptr() == grad.data_ptr()
    torch.testing.assert_close(found, dx)


def test_a_mask_takes_a_byte_and_stops_what_is_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "SMALL", 0)
    y = torch.tensor([0.0, 2.0, 0.0, 1.0, float("nan")]).reshape(1, 5, 1, 1)
    grad = torch.tensor([float("nan"), -3.0, float("inf"), 0.5, 2.0]).reshape(1, 5, 1, 1)
    kept = masks.passed(y)
    assert kept.element_size() == 1
    expected = torch.tensor([0, -3, 0, 0.5, 2])
    assert torch.equal(masks.masked(grad, kept).flatten(), expected)
    out = torch.empty_like(grad)
    assert masks.masked(grad, kept, out) is out
    assert torch.equal(out.flatten(), expected)
    assert torch.equal(masks.masked(grad, kept, grad).flatten(), expected)


def test_memory_goes_back_when_a_tensor_is_gone() -> None:
    blocks, side = Blocks(), LEAST // 4 // 256

    def filled(rows: int, value: int) -> Tensor:
        return blocks.empty((1, 256, rows, side), torch.float32, torch.device("cpu")).fill_(value)

    a, b, c = filled(3, 1), filled(1, 2), filled(2, 3)
    assert blocks.mapped == 6 * LEAST
    place, view = a.data_ptr(), a[:, :, 1:]
    del a
    d = filled(3, 4)  # the view still holds it
    assert [int(x.unique()) for x in (view, b, c, d)] == [1, 2, 3, 4]
    del view
    e, f = filled(1, 5), filled(2, 6)  # side by side in the hole
    assert {e.data_ptr(), f.data_ptr()} == {place, place + LEAST}
    assert [int(x.unique()) for x in (b, c, d, e, f)] == [2, 3, 4, 5, 6]
    del e, f
    assert filled(3, 7).data_ptr() == place  # one hole again
    assert blocks.mapped == 9 * LEAST


def test_idle_memory_is_unmapped_before_more_is_mapped_than_was_in_use() -> None:
    blocks, cpu = Blocks(), torch.device("cpu")
    for count in range(1, 6):
        blocks.empty((count * LEAST,), torch.uint8, cpu)
    assert blocks.mapped == 5 * LEAST


def test_memory_that_the_machine_does_not_give_is_an_error_of_memory() -> None:
    blocks, cpu = Blocks(), torch.device("cpu")
    with pytest.raises(MemoryError, match="1125899906842624 bytes"):
        blocks.empty((1 << 50,), torch.uint8, cpu)
    for count in range(1, 4):  # and it is not counted as in use
        blocks.empty((count * LEAST,), torch.uint8, cpu)
    assert blocks.mapped == 3 * LEAST


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="this Python knows no huge pages")
def test_a_kernel_without_huge_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(mmap.mmap):
        def madvise(self, *_: int) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(mmap, "mmap", Small)
    x = Blocks().empty((LEAST,), torch.uint8, torch.device("cpu")).fill_(3)
    assert x.unique().tolist() == [3]


def test_threads_share_memory_without_getting_the_same() -> None:
    blocks, cpu = Blocks(), torch.device("cpu")

    def work(number: int) -> bool:
        return all(_is_kept(blocks.empty((LEAST * (1 + (number + i) % 3),), torch.uint8, cpu), number) for i in range(400))

    def _is_kept(x: Tensor, number: int) -> bool:
        x[0] = x[-1] = number
        other = blocks.empty((LEAST,), torch.uint8, cpu)
        other[0] = number + 100
        return bool(x[0] == number and x[-1] == number)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(work, range(6)))
    finally:
        sys.setswitchinterval(interval)


def test_what_was_kept_is_freed_by_the_backward_pass() -> None:
    text, wanted = NETS["inception"]
    executor, at = tape_of(make(text), wanted)
    x = torch.randn(1, 3, 38, 45, requires_grad=True)
    (y,) = executor({at: x}).values()
    torch.autograd.grad(y.sum(), x)
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        torch.autograd.grad(y.sum(), x)


def test_memory_kept_for_the_next_pass_goes_back_when_it_is_asked_for() -> None:
    cpu = torch.device("cpu")
    gc.collect()
    release_memory(reserves=True)
    before = passing.mapped  # by values of nets that other tests of this process still hold
    held = passing.empty((2 * LEAST,), torch.uint8, cpu)
    passing.empty((3 * LEAST,), torch.uint8, cpu)
    assert passing.mapped == before + 5 * LEAST
    release_memory(reserves=True)
    assert passing.mapped == before + 2 * LEAST
    assert len(held) == 2 * LEAST
