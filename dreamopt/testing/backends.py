"""Backends: a net's layers, values and gradients as those of the built-in engine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamopt.backends.base import Backend
from dreamopt.backends.registry import registered_backend
from dreamopt.engine.net import Net
from dreamopt.network import Network, load_net
from dreamopt.parts.part import origin_of
from dreamopt.testing.kind import require
from dreamopt.testing.plain_case import PlainCase

_NET = """
name: "checked"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 17 dim: 19 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 5 kernel_size: 3
        weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "left" type: "Convolution" bottom: "pool" top: "left" convolution_param { num_output: 4 kernel_size: 1
        weight_filler { type: "xavier" } } }
layer { name: "both" type: "Concat" bottom: "left" bottom: "pool" top: "both" }
layer { name: "fc" type: "InnerProduct" bottom: "both" top: "fc" inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
"""
_NAMES = ("conv", "relu", "pool", "left", "both", "fc")
_NEAR = 1e-4
"""How far a backend may be from the engine, relative to what is compared."""
_SIZE = (17, 19)
_LARGER = (23, 29)


@dataclass(frozen=True)
class BackendBench:
    """A net that the backend has opened, and the same net in the engine.

    Parameters
    ----------
    net, engine : Network
        With the same weights.
    """

    net: Network
    engine: Network


def offers_what_a_backend_has(bench: BackendBench) -> None:
    """Require every attribute and method of `dreamopt.backends.base.Backend`."""
    missing = [name for name in vars(Backend) if not name.startswith("_") and not hasattr(bench.net.backend, name)]
    require(not missing, f"what open_net returns has no {', '.join(missing)}; dreamopt.backends.base.Backend lists what there must be")


def knows_the_layers(bench: BackendBench) -> None:
    """Require the layers of the file, in order, with their blobs and shapes."""
    for ours, theirs in zip(bench.engine.layers, bench.net.layers, strict=False):
        for what in ("name", "type", "bottoms", "tops", "shapes"):
            got, want = getattr(theirs, what), getattr(ours, what)
            require(got == want, f"layers: {what} of layer '{ours.name}' is {got!r}, not {want!r}")
    got, want = len(bench.net.layers), len(bench.engine.layers)
    require(got == want, f"layers has {got} layers, not {want}")


def says_the_shapes_of_what_it_computes(bench: BackendBench) -> None:
    """Require that shapes() are those of the values, also of larger inputs."""
    for size, names in ((_SIZE, _NAMES), (_LARGER, _NAMES[:-1])):
        values = bench.net.backend.activations(_image(2, size), list(names))
        for name, shape in bench.net.backend.shapes(list(names), (3, *size)).items():
            got = tuple(values[name].shape[1:])
            require(got == tuple(shape), f"shapes() says {tuple(shape)} of '{name}' for an input of {size}, but the value is {got}")


def computes_the_values(bench: BackendBench) -> None:
    """Require the engine's values, of layers one by one and together."""
    x = _image(2, _SIZE)
    want = bench.engine.activations(x, _NAMES)
    for names in [*([name] for name in _NAMES), list(_NAMES)]:
        found = bench.net.activations(x, names)
        for name in names:
            _require_near(found[name], want[name], f"the value of '{name}'" + (" read beside others" if len(names) > 1 else ""))


def has_the_gradient(bench: BackendBench) -> None:
    """Require the engine's gradients at the input, of layers one by one, together, and with gradients between them."""
    for names in [*([name] for name in _NAMES), list(_NAMES)]:
        want = _gradient(bench.engine, names, False)
        for between in (False, True):
            what = f"the gradient of {', '.join(names)} at the input" + (" with between_layers" if between else "")
            _require_near(_gradient(bench.net, names, between), want, what)


def has_gradients_between_layers(bench: BackendBench) -> None:
    """Require the engine's gradient of one value with respect to another with ``between_layers``."""
    found = []
    for net in (bench.net, bench.engine):
        values = net.activations(_image(2, _SIZE).requires_grad_(), ["relu", "both"], between_layers=True)
        found.append(torch.autograd.grad(_weighed({"both": values["both"]}), values["relu"])[0])
    _require_near(found[0], found[1], "the gradient of 'both' at 'relu' with between_layers")


def has_the_gradient_by_a_rule(bench: BackendBench) -> None:
    """Require the engine's gradient where a rule stands in for a layer's backward pass."""
    want = _gradient(bench.engine, ["fc"], False, rule="guided")
    _require_near(_gradient(bench.net, ["fc"], False, rule="guided"), want, "the gradient of fc by the rule guided")


def computes_sample_by_sample(bench: BackendBench) -> None:
    """Require that a sample has the same values alone and in a batch."""
    x = _image(3, _SIZE)
    together, alone = (bench.net.activations(y, ["both"])["both"] for y in (x, x[1:2]))
    _require_near(together[1:2], alone, "the value of a sample in a batch, and alone,")


def remembers_a_pass_until_its_gradient(bench: BackendBench) -> None:
    """Require that another pass before the gradient is asked for changes nothing."""
    found = []
    for net in (bench.net, bench.engine):
        x = _image(2, _SIZE).requires_grad_()
        total = _weighed(net.activations(x, ["both"]))
        net.activations(0.5 * _image(1, _LARGER), ["both"])
        found.append(torch.autograd.grad(total, x)[0])
    _require_near(found[0], found[1], "the gradient after another pass")


def has_a_hash_of_its_weights(bench: BackendBench) -> None:
    """Require the engine's hash."""
    got, want = bench.net.backend.weights_hash(), bench.engine.backend.weights_hash()
    require(got == want, f"weights_hash() is {got!r}, not the sha256 {want!r} that the engine gives of the same weights")


Check = Callable[[BackendBench], None]
CHECKS: tuple[Check, ...] = (
    offers_what_a_backend_has,
    knows_the_layers,
    says_the_shapes_of_what_it_computes,
    computes_the_values,
    has_the_gradient,
    has_gradients_between_layers,
    has_the_gradient_by_a_rule,
    computes_sample_by_sample,
    remembers_a_pass_until_its_gradient,
    has_a_hash_of_its_weights,
)
"""What every backend promises."""


def backend_cases_of(open_net: Any) -> Iterator[PlainCase]:
    """Yield every check of a backend by the function that opens a net; the first alone where it opens none."""
    where, bench = f"{origin_of(open_net)}: {open_net.__name__}", list[BackendBench]()

    def opens_a_net() -> None:
        """Require that it opens a small net."""
        bench[:] = [_opened(open_net)]

    yield PlainCase(where, "opens_a_net", opens_a_net)
    try:
        opens_a_net()
    except Exception:  # which the case says
        return
    yield from (PlainCase(where, check.__name__, lambda check=check: check(bench[0])) for check in CHECKS)  # type: ignore[misc]


def _opened(open_net: Any) -> BackendBench:
    with tempfile.TemporaryDirectory(prefix="dreamopt-backend-") as folder:
        path, weights = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
        path.write_text(_NET, encoding="utf-8")
        Net(path, seed=3).save(weights)
        with registered_backend("checked", open_net):
            net = load_net(path, weights, backend="checked", device="cpu")
        return BackendBench(net, load_net(path, weights, device="cpu"))


def _image(count: int, size: tuple[int, int]) -> Tensor:
    return 40 * torch.randn((count, 3, *size), generator=torch.Generator().manual_seed(5))


def _weighed(values: Mapping[str, Tensor]) -> Tensor:
    """Return a sum that asks something else of each number."""
    total = torch.zeros(())
    for i, value in enumerate(values.values()):
        total = total + (value * torch.cos((i + 1) * torch.arange(value.numel())).reshape(value.shape)).sum()
    return total


def _gradient(net: Network, names: Sequence[str], between_layers: bool, **options: Any) -> Tensor:
    x = _image(2, _SIZE).requires_grad_()
    values = net.activations(x, list(names), between_layers=between_layers, **options)
    require(all(value.requires_grad for value in values.values()), f"the value of {', '.join(names)} has no gradient")
    return torch.autograd.grad(_weighed(values), x)[0]


def _require_near(got: Tensor, want: Tensor, what: str) -> None:
    require(got.shape == want.shape, f"{what} is of the shape {tuple(got.shape)}, not {tuple(want.shape)}")
    off = float((got - want).norm() / want.norm().clamp_min(1e-30))
    require(off < _NEAR, f"{what} is off the engine's by {off:.2g} of its size; allowed is {_NEAR}")
