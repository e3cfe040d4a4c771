"""What backward rules may ask of layers in one pass: what is folded into what, and which linear layers are topmost."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from dreamopt.engine.backward_rule import LayerTraits
from dreamopt.engine.graph import Value
from dreamopt.engine.layer import Layer


@dataclass(frozen=True)
class PassTraits:
    """The traits of the layers of a pass.

    Parameters
    ----------
    traits : mapping of int to LayerTraits
        By the layers' places in the net.
    behind : mapping of int to tuple of int
        By linear layer, the layers that are folded into it, in their order.
    """

    traits: Mapping[int, LayerTraits]
    behind: Mapping[int, tuple[int, ...]]

    @property
    def within(self) -> set[Value]:
        """The values in folded layers, which none but the next one of them reads."""
        return {(j, 0) for i, chain in self.behind.items() for j in (i, *chain[:-1])}


def pass_traits(
    traits: Sequence[LayerTraits],
    layers: Mapping[int, Layer],
    reads: Mapping[int, Sequence[Value]],
    wanted: Collection[Value],
) -> PassTraits:
    """Return what rules may ask in a pass up to some values.

    Parameters
    ----------
    traits : sequence of LayerTraits
        Those of the whole net.
    layers : mapping of int to Layer
        The layers of the pass, by their places, in their order; Splits are left out.
    reads : mapping of int to sequence of Value
        What each of them reads.
    wanted : collection of Value
        What is asked for.
    """
    readers: dict[Value, list[int]] = {}
    for i in layers:
        for value in reads[i]:
            readers.setdefault(value, []).append(i)
    behind: dict[int, tuple[int, ...]] = {}
    for i, layer in layers.items():
        if traits[i].is_linear and layer.takes_factors:
            chain: list[int] = []
            value = (i, 0)
            while value not in wanted and len(after := readers.get(value, [])) == 1 and traits[after[0]].is_affine:
                chain.append(after[0])
                value = (after[0], 0)
            if chain:
                behind[i] = tuple(chain)
    folded = {j for chain in behind.values() for j in chain}
    above: dict[int, set[int]] = {}
    for (i, _), those in readers.items():
        above.setdefault(i, set()).update(those)
    linear_above: dict[int, bool] = {}
    for i in reversed(list(layers)):
        linear_above[i] = any(traits[j].is_linear or linear_above[j] for j in above.get(i, ()))
    found = {i: replace(traits[i], is_folded=i in folded, is_topmost=traits[i].is_linear and not linear_above[i]) for i in layers}
    return PassTraits(found, behind)
