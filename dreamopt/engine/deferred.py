"""Passes through blobs that compute by the executor what scripts usually read; the other blobs are filled when somebody reads them.

`Net.forward` and `Net.backward` leave every blob's data and diff as Caffe does, and scripts read few of them: the data of the last
layer and the diff of the input. So the executor computes these; the memory of all others knows the pass that would have written it
(`PendingPass`), and its first reader has the pass run again from layer to layer, from copies of the inputs and the seed. Before
weights change, all such passes are run. Data that a script has read late, the next passes compute with the rest; a script that reads
much, or diffs in between, gets its passes from layer to layer.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from dreamopt.engine.blob import Blob
from dreamopt.engine.executor.program import Program
from dreamopt.engine.graph import LayerDef, NetGraph, Value
from dreamopt.engine.in_place import through_in_place
from dreamopt.engine.memory import Memory, PendingPass
from dreamopt.engine.node import Node
from dreamopt.engine.pass_shape import BackwardShape, ForwardShape
from dreamopt.engine.replay import Replay

_REMEMBERED = 8  # programs, blobs that scripts read, and the passes after which those that they do not read any more are forgotten
_LONGEST = 6  # 2^6 passes from layer to layer, before the executor is tried again


class Forward(PendingPass):
    """A forward pass that the executor has computed, or computes if a backward pass comes."""

    def __init__(self, passes: Passes, shape: ForwardShape, device: torch.device) -> None:
        super().__init__()
        self._passes, self.shape, self.device = passes, shape, device
        self.inputs = {memory: blob._data.read(blob.shape, device).clone() for memory, blob in shape.inputs.items()}
        self.stamps = {memory: memory.stamp for memory in shape.inputs}
        self.is_settled = False
        self.leaves: dict[Memory, Tensor] = {}
        self.values: dict[Value, Tensor] = {}
        """What the executor computed, differentiably."""
        self.written: dict[Memory, Tensor] = {}

    def compute(self, values: Sequence[Value], gradient: bool) -> None:
        """Run the executor."""
        program = self._passes.program(values, self.device)
        self.leaves = {memory: x.detach().requires_grad_(gradient) for memory, x in self.inputs.items()}
        tensors = {blob.name: self.leaves[memory] for memory, blob in self.shape.inputs.items()}
        with torch.enable_grad():
            outputs = program({name: tensors[name] for name in program.inputs})
        self.values = {program.wanted[name]: output for name, output in outputs.items()}

    def replay(self) -> Replay:
        """Run the layers, one by one, from what the inputs held."""
        replay = Replay(self.shape.nodes, self.inputs, self.device)
        replay.forward()
        return replay

    def settle(self, memory: Memory | None = None) -> None:
        """Fill all blobs that wait; ``memory`` is what somebody reads."""
        with self._passes.lock:
            if not self.is_settled:
                if memory is not None:
                    self._passes.note_reader(memory)
                self._passes.note_replay()
                self.settle_from(self.replay())

    def settle_from(self, replay: Replay) -> None:
        """Fill them from layers that have run."""
        self.stamps |= {memory: memory.stamp for memory in self.write_all(replay.of)}
        replay.hand_over_records(self.stamps, self._passes.give_up(self))
        self.release()
        self.is_settled = True

    def release(self) -> None:
        """Free what the executor needs for a backward pass."""
        self.leaves, self.values = {}, {}

    @property
    def is_larger(self) -> bool:
        """Whether an input has become smaller since."""
        return any(blob.count < self.inputs[memory].numel() for memory, blob in self.shape.inputs.items())

    def is_unchanged(self) -> bool:
        """Return whether the inputs, and the blobs that were filled at once, hold what they did."""
        return all(
            not memory.touched_since(self.stamps[memory][0]) or torch.equal(memory.read(tuple(x.shape), self.device), x)
            for memory, x in (self.inputs | self.written).items()
        )


class Backward(PendingPass):
    """A backward pass that the executor has computed."""

    def __init__(self, passes: Passes, forward: Forward, first: int, seeds: dict[Memory, Tensor]) -> None:
        super().__init__()
        self._passes, self.forward, self.first, self.seeds = passes, forward, first, seeds
        self.is_settled = False

    @property
    def is_larger(self) -> bool:
        """Whether an input has become smaller since."""
        return self.forward.is_larger

    def settle(self, memory: Memory | None = None) -> None:
        """Fill all blobs that wait, and leave the layers what the weights' diffs are computed from."""
        with self._passes.lock:
            if self.is_settled:
                return
            self._passes.note_replay()
            replay = self.forward.replay()
            replay.backward(self.first, self.seeds)
            self.write_all(replay.of)
            if self._passes.unread is self:
                self._passes.unread = None
                replay.hand_over_weight_diffs(self.first)
            if not self.forward.is_settled and self._passes.owns_records(self.forward):
                self.forward.settle_from(replay)
            self.is_settled = True


class Passes:
    """The passes of a net that the executor computes.

    Parameters
    ----------
    nodes : sequence of Node
        The whole net.
    outputs : sequence of Blob
        Those that a whole forward pass returns.
    """

    def __init__(self, nodes: Sequence[Node], outputs: Sequence[Blob]) -> None:
        self._nodes, self._outputs = nodes, outputs
        self.lock = threading.RLock()  # another net's thread that looks at shared weights settles this net's passes
        self.unread: Backward | None = None
        """The last backward pass, if its part of the weights' diffs is not added yet."""
        self._current: Forward | None = None  # the last forward pass, if the executor has computed it and no other has begun since
        self._pending: list[Forward | Backward] = []
        self._owners: dict[int, Forward] = {}  # by layer, the pass that its record is to come from
        self._readers: dict[Memory, tuple[int, int]] = {}  # by what scripts read late, its version then, and the passes since
        self._starts: dict[int, None] = {}  # layers at which backward passes begin
        self._by_layer = self._replays = 0  # passes from layer to layer that come now, and replays in a row
        self._replayed = False
        self._forwards: dict[int, ForwardShape] = {}
        self._backwards: dict[int, BackwardShape] = {}
        self._programs: dict[tuple[torch.device, tuple[Value, ...]], Program] = {}

    @cached_property
    def graph(self) -> NetGraph:
        """The net's."""
        return NetGraph([LayerDef(node.layer.param, node.layer.where, node.added, node.stopped) for node in self._nodes])

    def program(self, values: Sequence[Value], device: torch.device) -> Program:
        """Return the program for some values."""
        key = (device, tuple(dict.fromkeys(values)))
        if key not in self._programs:
            if len(self._programs) >= _REMEMBERED:
                self._programs.clear()
            self._programs[key] = Program(self._nodes, [self.graph.name(*value) for value in key[1]], device)
        return self._programs[key]

    def note_reader(self, memory: Memory) -> None:
        """Note what a script reads, so that the next passes compute it at once."""
        self._readers[memory] = (memory.version, 0)

    def note_replay(self) -> None:
        """Note that a pass runs again from layer to layer; the next ones run so from the start, more and more of them."""
        self._by_layer = 2 ** min(self._replays, _LONGEST)
        self._replays += 1
        self._replayed = True

    def settle(self) -> None:
        """Fill all blobs that wait, since something that they depend on changes, or layers run by themselves."""
        with self.lock:
            for one in self._alive():
                one.settle()

    def settle_weight_diffs(self) -> None:
        """Leave the layers what the weights' diffs are computed from."""
        with self.lock:
            if self.unread is not None:
                self.unread.settle()

    def _alive(self) -> list[Forward | Backward]:
        """Return the passes for which something still waits, oldest first; the others are forgotten."""
        needed = {id(one) for one in (self.unread, *self._owners.values())}
        self._pending = [one for one in self._pending if not one.is_settled and (one.waits or id(one) in needed)]
        return list(self._pending)

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
        with self.lock:
            if any(one.is_larger for one in self._alive()):
                self.settle()  # behind smaller results, larger ones stand until a blob grows again
            if self._by_layer:
                self._by_layer -= 1
            elif first == 0 and self._shape(last).is_plain and self._shape(last).is_derivative and self._no_weight_is_held():
                return self._forward(self._shape(last), device)
            if self._current is not None and (first > 0 or last < self._current.shape.last):
                self.settle()
            self._release(first, last)
            return False

    def _release(self, first: int, last: int) -> None:
        """Free the last pass, since these layers run once more."""
        if self._current is not None:
            self._current.release()  # so that its memory can serve again
        self._current = None
        for i in range(first, last + 1):
            self._owners.pop(i, None)

    def _forward(self, shape: ForwardShape, device: torch.device) -> bool:
        for node in shape.nodes:
            node.reshape()
        at_once = self._at_once(shape)
        starts = [(i, j) for i in self._starts if i <= shape.last for j in range(len(self._nodes[i].tops))]
        values = [*at_once.values(), *starts]
        self._release(0, shape.last)
        if not shape.has_values or not 0 < len(at_once) <= _REMEMBERED or not all(map(self._has_name, values)):
            return False
        if not self._replayed:
            self._replays = 0
        self._replayed = False
        for node in shape.nodes:
            node._graph = None
        current = Forward(self, shape, device)
        current.compute(values, bool(self._starts))
        for memory, value in at_once.items():
            current.written[memory] = current.values[value].detach()
            memory.write(current.written[memory])
        waiting = [memory for memory in shape.final if memory not in at_once and memory not in shape.inputs]
        current.wait(waiting)
        current.stamps |= {memory: memory.stamp for memory in (*at_once, *waiting)}
        self._current = current
        self._owners |= dict.fromkeys(range(len(shape.nodes)), current)
        self._pending = [*self._alive(), current]
        return True

    def _at_once(self, shape: ForwardShape) -> dict[Memory, Value]:
        """Return what is computed at once: what the pass returns, what scripts have read late, and what they hold views of."""
        ends = [*shape.nodes[-1].tops, *(self._outputs if len(shape.nodes) == len(self._nodes) else ())]
        memories = dict.fromkeys(blob._data for blob in ends)
        memories |= dict.fromkeys(memory for memory in shape.final if memory.has_live_views)
        for memory, (version, passes) in list(self._readers.items()):
            if memory not in shape.final:
                continue
            memories[memory] = None
            if memory.version != version or memory.has_live_views:
                self._readers[memory] = (memory.version, 0)
            elif passes < _REMEMBERED:
                self._readers[memory] = (version, passes + 1)
            else:
                del self._readers[memory]
        return {memory: shape.final[memory] for memory in memories if memory in shape.final and memory not in shape.inputs}

    def _has_name(self, value: Value) -> bool:
        return self.graph.value(self.graph.name(*value)) == value

    def _shape(self, last: int) -> ForwardShape:
        if last not in self._forwards:
            self._forwards[last] = ForwardShape(self._nodes, last, self.graph)
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
        with self.lock:
            forward = self._current
            if last == 0 and forward is not None and self._may_go_back(forward, first, device) and self._backward(forward, first):
                return True
            self.settle()
            return False

    def _may_go_back(self, forward: Forward, first: int, device: torch.device) -> bool:
        if forward.is_settled or first > forward.shape.last or device != forward.device:
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
        return not any(memory.has_live_views for memory in shape.written if memory not in diffs) and forward.is_unchanged()

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
        if not all(v in forward.values and forward.values[v].requires_grad for v in starts):
            if not all(map(self._has_name, starts)):
                return False
            forward.compute(starts, True)
        pairs = [(forward.values[v], seeds[top._diff]) for v, top in zip(starts, tops, strict=True)]
        if any(not y.requires_grad or y.shape != seed.shape for y, seed in pairs):
            return False
        leaves = list(forward.leaves.values())
        gradients = torch.autograd.grad([y for y, _ in pairs], leaves, [s for _, s in pairs], retain_graph=True, allow_unused=True)
        self._note_weights(first)
        diffs: dict[Memory, Tensor | None] = dict(zip(self._input_diffs(forward), gradients, strict=True))
        if self._nodes[first].in_place and tops[0]._diff not in diffs:
            # Scripts write the next seed where this gradient stands.
            diffs[tops[0]._diff] = through_in_place(self._nodes[: first + 1], pairs[0][0].detach(), pairs[0][1])
        backward = Backward(self, forward, first, seeds)
        waiting = []
        for memory in self._backwards[first].written:
            diff = diffs.get(memory)
            if diff is None:
                waiting.append(memory)
            else:
                memory.write(diff)
        backward.wait(waiting)
        self.unread = backward
        self._pending = [*self._alive(), backward]
        return True

    def _note_weights(self, first: int) -> None:
        """Note that the last backward pass's part of the weights' diffs is lost, if nobody has read it."""
        unread = self.unread
        if unread is not None and unread.first > first:
            unread.settle()
        for i, node in enumerate(self._nodes[: first + 1]):
            if node.weights and (node._unread is not None or (self.unread is not None and i <= self.unread.first)):
                node._unread, node.weight_diffs_lost = None, True
