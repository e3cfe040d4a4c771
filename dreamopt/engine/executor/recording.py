"""A pass recorded once and run again: the same kernels at the same places, without the Python between them.

Between two kernels of an executor lie 20 to 60 microseconds of Python: what to call, where to write, what is kept. For inputs of one shape
it is the same every time. So a pass whose shapes have been met before runs once more with all its values in `Blocks` of its own, and what
it calls is written down: native kernels with their arguments, torch's operators with their tensors. From then on a pass copies its inputs
there, makes the calls and copies the results out.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dreamopt.engine.executor.blocks import Blocks, in_blocks
from dreamopt.engine.executor.gradients import Gradients
from dreamopt.engine.executor.stamp import WeightStamp
from dreamopt.engine.graph import Value
from dreamopt.engine.layers._axes import channels_last
from dreamopt.engine.native import library
from dreamopt.engine.native.library import recorded_by
from dreamopt.parts.memory import add_reserve

if TYPE_CHECKING:
    from dreamopt.engine.blob import Blob

LARGEST = 1 << 19
"""Values of the inputs; of larger ones the Python between kernels is not worth memory that stays."""
_MOST_BYTES = 1 << 28  # of one recording
_MOST = 4  # recordings at a time, of all executors
_CHUNK = 1 << 22
_ALIGNED = 64  # bytes: a line of the cache
_CPU = torch.device("cpu")
_MAKES_NOTHING = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")

Forward = Callable[[dict[Value, Tensor], list[Any]], list[Tensor]]
"""From the inputs to the wanted values; what the kernels keep goes into the list."""
Backward = Callable[[list[Any], Sequence["Tensor | None"], bool], Gradients]
"""From what the kernels kept and the gradients of the wanted values to those of the inputs; and whether it may be made again."""


class NotRecordableError(Exception):
    """What a pass does depends on more than shapes."""


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch does not say what its constructor takes
    """Native kernels and torch's operators that are called while it is entered, in order.

    Parameters
    ----------
    arena : Blocks
        Where the values lie. What lies elsewhere is kept alive.
    """

    def __init__(self, arena: Blocks) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # neither here
        self.arena = arena
        self.calls: list[tuple[Callable[..., Any], Sequence[Any]]] = []
        self._held: list[Tensor] = []

    def native(self, function: Callable[..., Any], arguments: Sequence[Any], tensors: Sequence[Tensor]) -> None:
        """Note a call of a native kernel."""
        self.calls.append((function, arguments))
        self._held += [tensor for tensor in tensors if not self.arena.holds(tensor)]

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator of torch, and note it if it computes anything."""
        options = {} if kwargs is None else kwargs
        result = function(*args, **options)
        name = function._schema.name.split("::")[1]
        if name in _MAKES_NOTHING:
            self._held += [result]
            return result
        if torch.Tag.nondeterministic_seeded in function.tags:
            raise NotRecordableError(name)
        given, (again, more) = [*_tensors((args, options))], self._kept((args, options))
        if function._schema.is_mutable:
            self.calls.append((_run, (function, again, more)))
            return result
        results = [*_tensors(result)]
        if not isinstance(result, Tensor | list | tuple) or len(results) < (1 if isinstance(result, Tensor) else len(result)):
            raise NotRecordableError(name)
        mine = {_storage(tensor) for tensor in given}
        if all(_storage(tensor) in mine for tensor in results):  # views
            return result
        self._held += results
        # `data`: what autograd keeps of a layer counts as unchanged when the next pass writes it
        self.calls.append((_renew, ([tensor.data for tensor in results], function, again, more)))
        return result

    @contextmanager
    def taping(self) -> Iterator[None]:
        """Note this thread's calls meanwhile, and let their values lie in the arena."""
        with in_blocks(self.arena), recorded_by(self), self:
            yield

    def play(self) -> None:
        """Make the calls again."""
        for function, arguments in self.calls:
            if function(*arguments):
                raise MemoryError("no memory for what a native kernel works in")

    def _kept(self, what: Any) -> Any:
        """Return arguments whose tensors may be kept without keeping others from their memory."""
        if isinstance(what, Tensor):
            return self.arena.alias(what) if self.arena.holds(what) else what.data
        if isinstance(what, dict):
            return {name: self._kept(value) for name, value in what.items()}
        return type(what)(map(self._kept, what)) if isinstance(what, list | tuple) else what


def _run(function: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]) -> None:
    function(*args, **options)


def _renew(places: Sequence[Tensor], function: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]) -> None:
    for place, result in zip(places, _tensors(function(*args, **options)), strict=True):
        place.copy_(result)


def _tensors(what: Any) -> Iterator[Tensor]:
    if isinstance(what, Tensor):
        yield what
    elif isinstance(what, list | tuple):
        for each in what:
            yield from _tensors(each)
    elif isinstance(what, dict):
        yield from _tensors([*what.values()])


def _storage(tensor: Tensor) -> int:
    return torch.Tensor.untyped_storage(tensor).data_ptr() if tensor.layout is torch.strided else id(tensor)


class Recording:
    """One pass of an executor, there and back, for inputs of one shape.

    Parameters
    ----------
    stamp : WeightStamp
        Of all weights, current.
    inputs : mapping of Value to Tensor
        What the pass is made with.
    forward : callable
        Makes it.
    """

    def __init__(self, stamp: WeightStamp, inputs: Mapping[Value, Tensor], forward: Forward) -> None:
        self._stamp, self._threads = stamp, torch.get_num_threads()
        self._arena = Blocks(least=0, step=_ALIGNED, chunk=_CHUNK)
        self._inputs = {v: torch.empty_strided(x.shape, x.stride()).copy_(x) for v, x in inputs.items()}
        self._kept: list[Any] = []
        self._there = Tape(self._arena)
        self._backs: dict[tuple[bool, ...], tuple[Tape, list[Tensor | None], Gradients]] = {}
        self._in_use = threading.Lock()
        with self._there.taping():
            self._outs = forward(dict(self._inputs), self._kept)

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return self._arena.mapped

    def is_current(self) -> bool:
        """Return whether the weights are what they were."""
        return self._stamp.is_current(_CPU)

    def take(self) -> RecordedPass | None:
        """Return a pass that may write there; None while somebody may go back from an earlier one."""
        return RecordedPass(self, self._in_use) if self._in_use.acquire(blocking=False) else None

    def outs(self) -> list[Tensor]:
        """Return the wanted values of the last pass."""
        return [y.clone() for y in self._outs]

    def forward(self, inputs: Mapping[Value, Tensor]) -> None:
        """Make the calls with these inputs."""
        for v, x in inputs.items():
            self._inputs[v].copy_(x)
        self._there.play()

    def backward(self, kernels: Backward, seeds: Sequence[Tensor | None], names: Sequence[Value]) -> list[Tensor | None]:
        """Return the gradients of the inputs of these names, from those of the wanted values; ``kernels`` computes them unrecorded."""
        which = tuple(g is not None for g in seeds)
        if torch.get_num_threads() != self._threads:
            sums = kernels(self._kept, seeds, True)
            return [sums.get(v) for v in names]
        if which in self._backs:
            tape, places, sums = self._backs[which]
            for place, g in zip(places, seeds, strict=True):
                if place is not None and g is not None:
                    place.copy_(g)
            tape.play()
        else:
            tape, places = Tape(self._arena), [None if g is None else channels_last(g).clone() for g in seeds]
            try:
                with tape.taping():
                    sums = kernels(self._kept, places, True)
            except NotRecordableError:
                sums = kernels(self._kept, seeds, True)
                return [sums.get(v) for v in names]
            self._backs[which] = tape, places, sums
        return [None if (g := sums.get(v)) is None else g.clone() for v in names]


class RecordedPass:
    """A pass by a recording, which no other one writes to while this is there."""

    def __init__(self, recording: Recording, in_use: threading.Lock) -> None:
        self._recording, self._in_use = recording, in_use
        self.outs, self.forward, self.backward = recording.outs, recording.forward, recording.backward

    def __del__(self) -> None:
        """Let the next one write."""
        self._in_use.release()


class Recordings:
    """What an executor has recorded: the pass of the shapes that it met last, if it met them twice in a row.

    Parameters
    ----------
    blobs : sequence of Blob, optional
        All weights; None where the kernels do more than shapes tell.
    """

    def __init__(self, blobs: Sequence[Blob] | None) -> None:
        self._blobs = blobs
        self._met: object = None
        self._refused: set[object] = set()
        self._recording: tuple[object, Recording] | None = None

    def key(self, inputs: Mapping[Value, Tensor]) -> object | None:
        """Return what tells passes apart that call the same kernels from others; None for one that is not to be recorded."""
        if self._blobs is None or library() is None:
            return None
        xs = inputs.values()
        if sum(x.numel() for x in xs) > LARGEST or not all(x.device.type == "cpu" and x.dtype == torch.float32 for x in xs):
            return None
        if not all(x.is_contiguous() or channels_last(x) is x for x in xs):
            return None
        return torch.get_num_threads(), tuple((v, tuple(x.shape), x.stride()) for v, x in inputs.items())

    def has_met(self, key: object | None) -> None:
        """Note that an ordinary pass has gone there and back."""
        self._met = key

    def drop(self) -> None:
        """Forget the recording; who still goes back by it keeps it."""
        self._recording = self._met = None

    def start(self, key: object | None, inputs: Mapping[Value, Tensor], forward: Forward) -> RecordedPass | None:
        """Go forward by the record, which may be made for it; None where the pass is to be an ordinary one."""
        if key is None:
            return None
        if self._recording is not None and self._recording[0] == key:
            _, recording = self._recording
            if not recording.is_current():
                self.drop()
                return None
            found = recording.take()
            if found is not None:
                found.forward(inputs)
            return found
        return self._record(key, inputs, forward) if key == self._met and key not in self._refused else None

    def _record(self, key: object, inputs: Mapping[Value, Tensor], forward: Forward) -> RecordedPass | None:
        assert self._blobs is not None
        stamp = WeightStamp(self._blobs)
        stamp.renew(_CPU)
        if not stamp.is_current(_CPU):  # somebody holds a view of weights
            return None
        try:
            recording = Recording(stamp, inputs, forward)
        except NotRecordableError:
            self._refused.add(key)
            return None
        if recording.size > _MOST_BYTES:
            self._refused.add(key)
            return None
        self._recording = key, recording
        _remember(self)
        return recording.take()


_latest: OrderedDict[int, weakref.ref[Recordings]] = OrderedDict()
_lock = threading.Lock()


def _remember(owner: Recordings) -> None:
    """Drop the recordings of those executors that recorded longest ago, if there are many."""
    with _lock:
        _latest.pop(id(owner), None)
        _latest[id(owner)] = weakref.ref(owner)
        while len(_latest) > _MOST:
            _, oldest = _latest.popitem(last=False)
            if (recordings := oldest()) is not None:
                recordings.drop()


def drop_all() -> None:
    """Drop all recordings, so that their memory is given back."""
    with _lock:
        for reference in _latest.values():
            if (recordings := reference()) is not None:
                recordings.drop()
        _latest.clear()


add_reserve(drop_all)
