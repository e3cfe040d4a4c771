"""Passes through blobs that only compute what is asked for, by the executor; the other blobs are worked out when somebody looks.

`Net.forward` and `Net.backward` leave every blob's data and diff as Caffe does, and scripts read few of them: the data of the last
layer and the diff of the input. So the executor computes these; the memory of all others knows the pass that would have written it
(`PendingPass`), and its first reader has the pass run again from layer to layer, from copies of the inputs and the seed. Before
weights change, everything that waits is worked out. Data that a script reads once, the next pass computes with the rest; a script
that looks at much, or at diffs in between, gets its passes from layer to layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamopt.engine.executor.program import Program
from dreamopt.engine.graph import Value
from dreamopt.engine.in_place import through_in_place
from dreamopt.engine.memory import Memory, PendingPass
from dreamopt.engine.node import Node
from dreamopt.engine.pass_shape import BackwardShape, ForwardShape
from dreamopt.engine.replay import Replay

_REMEMBERED = 8  # programs, and blobs that scripts look at
_LONGEST = 64  # passes from layer to layer, before the executor is tried again


class Forward(PendingPass):
    """A forward pass that the executor has made, or makes if a backward pass comes."""

    def __init__(self, passes: Passes, shape: ForwardShape, device: torch.device) -> None:
        super().__init__()
        self._passes, self.shape, self.device = passes, shape, device
        self.inputs = {memory: blob._data.read(blob.shape, device).clone() for memory, blob in shape.inputs.items()}
        self.stamps = {memory: memory.stamp for memory in shape.inputs}
        self.is_settled = False
        self.leaves: dict[Memory, Tensor] = {}
        self.values: dict[Value, Tensor] = {}
        """What the executor gave, differentiably."""
        self.written: dict[Memory, Tensor] = {}

    def compute(self, values: Sequence[Value], gradient: bool) -> None:
        """Run the executor."""
        program = self._passes.program(values, self.device)
        self.leaves = {memory: x.detach().requires_grad_(gradient) for memory, x in self.inputs.items()}
        tensors = {blob.name: self.leaves[memory] for memory, blob in self.shape.inputs.items()}
        with torch.enable_grad():
            found = program({name: tensors[name] for name in program.inputs})
        self.values = {program.wanted[name]: value for name, value in found.items()}

    def replay(self) -> Replay:
        """Run the layers, one by one, from what the inputs held."""
        replay = Replay(self.shape.nodes, self.inputs, self.device)
        replay.forward()
        return replay

    def settle(self, memory: Memory | None = None) -> None:
        """Write all that waits; ``memory`` is what somebody wants to read."""
        if not self.is_settled:
            if memory is not None:
                self._passes.asked[memory] = None
            self._passes.regret()
            self.settle_from(self.replay())

    def settle_from(self, replay: Replay) -> None:
        """Do so, once the layers have run."""
        if self.is_settled:
            return
        self.is_settled = True
        self.stamps |= {memory: memory.stamp for memory in self.write_all(replay.of)}
        replay.hand_over_records(self.stamps, self._passes.give_up(self))
        self.leaves, self.values = {}, {}

    def is_as_left(self) -> bool:
        """Return whether the inputs, and the blobs that were written at once, hold what they did."""
        return all(
            not memory.touched_since(self.stamps[memory][0]) or torch.equal(memory.read(tuple(x.shape), self.device), x)
            for memory, x in (self.inputs | self.written).items()
        )


class Backward(PendingPass):
    """A backward pass that the executor has made."""

    def __init__(self, passes: Passes, forward: Forward, first: int, seeds: dict[Memory, Tensor]) -> None:
        super().__init__()
        self._passes, self.forward, self.first, self.seeds = passes, forward, first, seeds
        self.is_settled = False

    def settle(self, memory: Memory | None = None) -> None:
        """Write all that waits, and leave the layers what the weights' diffs are made of."""
        if self.is_settled:
            return
        self.is_settled = True
        self._passes.regret()
        replay = self.forward.replay()
        replay.backward(self.first, self.seeds)
        self.write_all(replay.of)
        if self._passes.unread is self:
            self._passes.unread = None
            replay.hand_over_weight_diffs(self.first)
        if not self.forward.is_settled and self._passes.owns_records(self.forward):
            self.forward.settle_from(replay)


class Passes:
    """The passes of a net that the executor makes.

    Parameters
    ----------
    nodes : sequence of Node
        The whole net.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self.current: Forward | None = None
        """The last forward pass, if the executor has made it and no other has begun since."""
        self.unread: Backward | None = None
        """The last backward pass, if its part of the weights' diffs is not added yet."""
        self._last: Backward | None = None
        self._made: list[Forward | Backward] = []
        self._owners: dict[int, Forward] = {}  # by layer, the pass that its record is to come from
        self.asked: dict[Memory, None] = {}
        self._starts: dict[int, None] = {}  # layers at which backward passes begin
        self._plain = self._regrets = 0
        self._forwards: dict[int, ForwardShape] = {}
        self._backwards: dict[int, BackwardShape] = {}
        self._programs: dict[tuple[torch.device, tuple[Value, ...]], Program] = {}

    def program(self, values: Sequence[Value], device: torch.device) -> Program:
        """Return the program for some values."""
        key = (device, tuple(dict.fromkeys(values)))
        if key not in self._programs:
            if len(self._programs) >= _REMEMBERED:
                self._programs.clear()
            self._programs[key] = Program(self._nodes, [self._name(v) for v in key[1]], device)
        return self._programs[key]

    def _name(self, value: Value) -> str:
        graph = next(iter(self._forwards.values())).graph
        return graph.name(*value)

    def regret(self) -> None:
        """Note that a pass had to be made again from layer to layer; the next ones are made so from the start, more and more of them."""
        self._plain = min(2**self._regrets, _LONGEST)
        self._regrets += 1

    def settle(self) -> None:
        """Work out all that waits, since something that it depends on changes, or layers run by themselves."""
        for one in self._alive():
            one.settle()

    def _alive(self) -> list[Forward | Backward]:
        """Return the passes for which something still waits, oldest first; the others are forgotten."""
        needed = {id(one) for one in (self.unread, *self._owners.values())}
        self._made = [one for one in self._made if not one.is_settled and (one.waits or id(one) in needed)]
        return list(self._made)

    def owns_records(self, one: Forward) -> bool:
        """Return whether some layer has run last in this pass."""
        return any(owner is one for owner in self._owners.values())

    def give_up(self, one: Forward) -> set[int]:
        """Return the layers that have run last in this pass, which now get their records."""
        owned = {i for i, owner in self._owners.items() if owner is one}
        for i in owned:
            del self._owners[i]
        return owned

    # ---- forward

    def forward(self, first: int, last: int, device: torch.device) -> bool:
        """Run the layers, if the executor may; else return False, and the layers may run from blob to blob."""
        if self._plain:
            self._plain -= 1
        elif first == 0 and self._shape(last).is_plain and self._shape(last).is_derivative and self._no_weight_is_held():
            return self._forward(self._shape(last), device)
        if self.current is not None and (first > 0 or last < self.current.shape.last):
            self.settle()
        self._release(first, last)
        return False

    def _release(self, first: int, last: int) -> None:
        """Let go of the last pass, since these layers run once more."""
        if self.current is not None:
            self.current.leaves, self.current.values = {}, {}  # so that their memory can serve again
        self.current = None
        for i in range(first, last + 1):
            self._owners.pop(i, None)

    def _forward(self, shape: ForwardShape, device: torch.device) -> bool:
        for node in shape.nodes:
            node.reshape()
        end = shape.nodes[-1]
        at_once = {top._data: shape.final[top._data] for top in end.tops}
        at_once |= {memory: shape.final[memory] for memory in list(self.asked)[:_REMEMBERED] if memory in shape.final}
        at_once = {memory: value for memory, value in at_once.items() if memory not in shape.inputs}
        starts = [(i, j) for i in self._starts if i <= shape.last for j in range(len(self._nodes[i].tops))]
        values = [*at_once.values(), *starts]
        waiting = [memory for memory in shape.final if memory not in at_once and memory not in shape.inputs]
        if (
            len(self.asked) > _REMEMBERED
            or any(shape.graph.value(shape.graph.name(*v)) != v for v in values)
            or any(memory.has_live_views for memory in waiting)
        ):
            self._release(0, shape.last)
            return False
        if self._last is not None and not self._last.is_settled:
            self._regrets = 0
        self._release(0, shape.last)
        for node in shape.nodes:
            node._graph = None
        current = Forward(self, shape, device)
        current.compute(values, bool(self._starts))
        for memory, value in at_once.items():
            result = current.values[value].detach()
            memory.write(result)
            current.written[memory] = result
        current.wait(waiting)
        current.stamps |= {memory: memory.stamp for memory in (*at_once, *waiting)}
        self.current = current
        self._owners |= dict.fromkeys(range(len(shape.nodes)), current)
        self._made = [*self._alive(), current]
        return True

    def _shape(self, last: int) -> ForwardShape:
        if last not in self._forwards:
            self._forwards[last] = ForwardShape(self._nodes, last)
        return self._forwards[last]

    def _no_weight_is_held(self) -> bool:
        for node in self._nodes:
            for blob in node.weights:
                if blob._data.has_live_views:
                    return False
                blob._data.watch(self)
        return True

    # ---- backward

    def backward(self, first: int, last: int, device: torch.device) -> bool:
        """Run the layers backward, if the executor may; else return False, and the layers may run from blob to blob."""
        forward = self.current
        if last == 0 and forward is not None and self._may_go_back(forward, first, device) and self._backward(forward, first):
            return True
        self.settle()
        return False

    def _may_go_back(self, forward: Forward, first: int, device: torch.device) -> bool:
        if forward.is_settled or first > forward.shape.last or device != forward.device or not forward.shape.is_derivative:
            return False
        node = self._nodes[first]
        if node.layer.type in ("Input", "Split") or any(other.weight_diffs_read for other in self._nodes):
            return False
        if any(blob.shape != tuple(forward.inputs[memory].shape) for memory, blob in forward.shape.inputs.items()):
            return False
        if first not in self._backwards:
            self._backwards[first] = BackwardShape(self._nodes, first)
        shape = self._backwards[first]
        if not shape.is_plain or any(blob._diff.read(blob.shape, device).any() for blob in shape.read if blob._diff.is_set):
            return False
        diffs = self._input_diffs(forward)
        return not any(memory.has_live_views for memory in shape.written if memory not in diffs) and forward.is_as_left()

    def _input_diffs(self, forward: Forward) -> dict[Memory, Memory]:
        return {blob._diff: memory for memory, blob in forward.shape.inputs.items()}

    def _backward(self, forward: Forward, first: int) -> bool:
        tops = self._nodes[first].tops
        starts = [(first, j) for j in range(len(tops))]
        seeds = {top._diff: top._diff.read(top.shape, forward.device).clone() for top in tops}
        if forward.is_settled:  # a seed was what a pass before has left
            return False
        self._starts[first] = None
        if len(self._starts) > _REMEMBERED:
            self._starts = {first: None}
        graph = forward.shape.graph
        if not all(v in forward.values and forward.values[v].requires_grad for v in starts):
            if any(graph.value(graph.name(*v)) != v for v in starts):
                return False
            forward.compute(starts, True)
        pairs = [(forward.values[v], seeds[top._diff]) for v, top in zip(starts, tops, strict=True)]
        if any(not y.requires_grad or y.shape != seed.shape for y, seed in pairs):
            return False
        leaves = list(forward.leaves.values())
        found = torch.autograd.grad([y for y, _ in pairs], leaves, [s for _, s in pairs], retain_graph=True, allow_unused=True)
        self._note_weights(first)
        made = Backward(self, forward, first, seeds)
        diffs = self._input_diffs(forward)
        gradients: dict[Memory, Tensor | None] = dict(zip(diffs, found, strict=True))
        if self._nodes[first].in_place and tops[0]._diff not in diffs:
            # Scripts write the next seed where this gradient stands.
            gradients[tops[0]._diff] = through_in_place(self._nodes[: first + 1], pairs[0][0].detach(), pairs[0][1])
        waiting = []
        for memory in self._backwards[first].written:
            gradient = gradients.get(memory)
            if gradient is None:
                waiting.append(memory)
            else:
                memory.write(gradient)
        made.wait(waiting)
        self.unread = self._last = made
        self._made = [*self._alive(), made]
        return True

    def _note_weights(self, first: int) -> None:
        """Note that the last backward pass's part of the weights' diffs is lost, if nobody has asked for it."""
        unread = self.unread
        if unread is not None and unread.first > first:
            unread.settle()
        for i, node in enumerate(self._nodes[: first + 1]):
            if node.weights and (node._unread is not None or (self.unread is not None and i <= self.unread.first)):
                node._unread, node.weight_diffs_lost = None, True
