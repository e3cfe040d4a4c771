"""One layer, ours against real Caffe's: tops, bottoms' diffs and weights' diffs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from dreamopt.engine.layer import Shape
from tests.support.layer_nets import make_layer, net_text
from tests.support.oracle.harness import Array, Oracle, relative_error

TOLERANCE = 1e-4
WORST: dict[str, float] = {}


def note(what: str, error: float) -> float:
    """Remember the worst error of ``what`` for the summary."""
    WORST[what] = max(WORST.get(what, 0.0), error)
    return error


def normal(rng: np.random.Generator, shape: Shape) -> Array:
    """Standard normal numbers."""
    return rng.normal(size=shape).astype(np.float32)


def check(
    oracle: Oracle,
    type_: str,
    params: str,
    *shapes: Shape,
    tops: int = 1,
    phase: str = "TEST",
    in_place: bool = False,
    draw: Callable[[np.random.Generator, Shape], Array] = normal,
    draw_weight: Callable[[np.random.Generator, Shape], Array] = normal,
    backward: bool = True,
    weight_diffs: bool = True,
    seeded_tops: Sequence[int] | None = None,
    only_first: bool = False,
    seed: int = 0,
) -> None:
    """Compare one layer with real Caffe on random numbers; every relative error in norm is at most `TOLERANCE`."""
    rng = np.random.default_rng(seed)
    text = net_text(type_, params, shapes, tops, in_place, only_first)
    layer, weight_shapes = make_layer(text, shapes, phase)
    bottoms = [draw(rng, s) for s in shapes]
    weights = [draw_weight(rng, s) for s in weight_shapes]
    top_shapes = layer.shape(shapes)
    if layer.shape_follows_data:
        top_shapes = [tuple(y.shape) for y in layer.forward([torch.tensor(x) for x in bottoms], ())]
    kind = "b" if in_place else "t"
    seeded = list(range(tops) if seeded_tops is None else seeded_tops) if backward else []
    seeds = {i: normal(rng, top_shapes[i]) for i in seeded}
    theirs = oracle.run(
        text,
        phase,
        weights={"it": weights} if weights else None,
        inputs={f"b{i}": x for i, x in enumerate(bottoms)},
        seeds={f"{kind}{i}": d for i, d in seeds.items()},
    )

    xs = [torch.tensor(x, requires_grad=True) for x in bottoms]
    ws = [torch.tensor(w, requires_grad=phase == "TEST") for w in weights]
    ys = layer.forward(xs, ws)
    assert [tuple(y.shape) for y in ys] == [tuple(s) for s in top_shapes]
    for i, y in enumerate(ys):
        error = relative_error(y.detach().numpy(), theirs.blobs[f"{kind}{i}"])
        assert note(f"{type_} forward", error) <= TOLERANCE, f"top {i} is off by {error:.1e}"
    for w, after in zip(ws, theirs.weights_after.get("it", []), strict=True):
        assert note(f"{type_} weights after forward", relative_error(w.detach().numpy(), after)) <= TOLERANCE
    if not backward:
        return
    wanted = [*xs, *(w for w in ws if w.requires_grad)]
    grads = torch.autograd.grad([ys[i] for i in seeds], wanted, [torch.tensor(d) for d in seeds.values()], allow_unused=True)
    found = [np.zeros(x.shape, np.float32) if g is None else g.numpy() for g, x in zip(grads, wanted, strict=True)]
    if in_place and layer.caffe_traits.backward_reads_blobs:
        y = ys[0].detach()
        found[0] = layer.backward_from_blobs(y, y, torch.tensor(seeds[0]), xs[0].detach()).numpy()
    for i in range(len(xs)):
        error = relative_error(found[i], theirs.diffs[f"b{i}"])
        assert note(f"{type_} backward", error) <= TOLERANCE, f"diff of bottom {i} is off by {error:.1e}"
    if weight_diffs and phase == "TEST":
        for i, expected in enumerate(theirs.weight_diffs.get("it", [])):
            error = relative_error(found[len(xs) + i], expected)
            assert note(f"{type_} weight diffs", error) <= TOLERANCE, f"diff of weight {i} is off by {error:.1e}"
