"""What a backend must offer: a net's layers, and its activations as a differentiable function of the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from dreamopt.backends.inputs.feeds import FeedValue as FeedValue
from dreamopt.engine.backward_rule import LINEAR as LINEAR
from dreamopt.engine.backward_rule import RECTIFIERS as RECTIFIERS
from dreamopt.engine.backward_rule import BackwardRule as BackwardRule  # re-exported for network/, which does not import engine/
from dreamopt.engine.graph import NetGraph as NetGraph
from dreamopt.engine.loading import WeightsReport as WeightsReport
from dreamopt.engine.precision import FLOAT32 as FLOAT32
from dreamopt.engine.precision import check_precision as check_precision
from dreamopt.engine.reach import Reach as Reach
from dreamopt.engine.rule_list import RuleList as RuleList
from dreamopt.engine.rule_list import followed_by as followed_by
from dreamopt.engine.rule_list import parse_rules as parse_rules
from dreamopt.engine.rules.redirected import Redirected as Redirected
from dreamopt.errors import BackendError, UsageError

Shape = tuple[int, ...]
WeightGradients = dict[str, list[Tensor]]
"""A gradient for each weight, of its shape, by layer in the order of the net."""
TotalOf = Callable[[dict[str, Tensor]], Tensor]
"""One number, differentiable, of layers' values."""
TIMEOUT = 600.0
"""Seconds for which another Python with Caffe is waited for."""
START_TIMEOUT = 60.0
"""Seconds for which it may take to start."""


@dataclass(frozen=True)
class LayerInfo:
    """One layer of a net, as shown by ``dreamopt inspect`` and quoted by errors.

    Parameters
    ----------
    name, type : str
        As in the net's file.
    bottoms, tops : tuple of str
        Names of the blobs it reads and writes.
    shapes : tuple of tuple of int
        One item's shape of each top at the file's input size: (C, H, W), (K,), ...
    in_place : bool
        Whether its first top overwrites its first bottom: then the layer's name means the value after it, and the name of
        the layer that made the blob the value before it.
    place : str
        ``file:line``, empty where there is no file.
    params : int
        How many weights it has.
    flops : int
        Multiply-adds of one item's forward pass at the file's input size.
    added : bool
        Whether no file names it: a Split that Caffe adds.
    stops : tuple of str
        The bottoms to which it lets no gradient, since its ``propagate_down`` is false there.
    reach : Reach, optional
        Which places of its bottoms each place of its tops depends on; None for all, or where nobody knows.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    shapes: tuple[Shape, ...] = ()
    in_place: bool = False
    place: str = ""
    params: int = 0
    flops: int = 0
    added: bool = False
    stops: tuple[str, ...] = ()
    reach: Reach | None = None

    @property
    def stopped(self) -> frozenset[int]:
        """The places of `stops` among the bottoms."""
        stops = frozenset(self.stops)
        return frozenset(k for k, bottom in enumerate(self.bottoms) if bottom in stops)

    def __str__(self) -> str:
        return f"layer '{self.name}' ({', '.join(filter(None, (self.type, self.place)))})"


@dataclass(frozen=True)
class OpenOptions:
    """How a backend is to open a net; `dreamopt.load_net`'s parameters of the same names.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``; `pick_device` and `caffe_device` read it.
    seed : int
        For the fillers of layers without weights.
    phase : {"TEST", "TRAIN"}
        The net's phase.
    allow_python_layers : bool
        Run the classes that Python layers name.
    python : str or sequence of str, optional
        The command that starts another Python.
    timeout, start_timeout : float
        Seconds for which its answers, and its start, are waited for.
    optimized : str, optional
        The input that is optimized; None is for `dreamopt.backends.inputs.feeds.Feeds` to choose.
    feed : mapping of str to FeedValue
        What the other inputs are fed, where it is not the default.
    precision : {"float32", "bf16"}
        What convolutions and inner products multiply. A backend that can do more than float32 has a ``precision`` of its own.
    """

    device: str | torch.device = "auto"
    seed: int = 0
    phase: str = "TEST"
    allow_python_layers: bool = False
    python: str | Sequence[str] | None = None
    timeout: float = TIMEOUT
    start_timeout: float = START_TIMEOUT
    optimized: str | None = None
    feed: Mapping[str, FeedValue] = field(default_factory=dict)
    precision: str = FLOAT32

    def refuse_command(self, backend: str) -> None:
        """Raise a UsageError if a command was given to a backend that starts no Python."""
        if self.python is not None:
            raise UsageError(f"python is for backend 'remote', but the backend is '{backend}'")

    def refuse_precision(self, backend: str) -> None:
        """Raise a UsageError if another precision than float32 was asked of a backend that has none."""
        if self.precision != FLOAT32:
            raise UsageError(
                f"precision '{self.precision}' is for backend 'engine', but the backend is '{backend}', which computes in float32"
            )


class Backend(Protocol):
    """A net that can be computed: by the built-in engine, real Caffe, or torch functions."""

    @property
    def name(self) -> str:
        """The backend's name in `load_net`."""

    @property
    def net_name(self) -> str:
        """The net's name in its file; empty where it has none."""

    @property
    def origin(self) -> str:
        """What computes, in words: a program, its version, where it runs."""

    @property
    def input_name(self) -> str:
        """Name of the input blob that takes the image."""

    @property
    def input_shape(self) -> Shape:
        """One item's input shape in the net's file: (C, H, W), or (K,) for a generator's code."""

    @property
    def layers(self) -> Sequence[LayerInfo]:
        """The layers in the order in which they run."""

    @property
    def changes(self) -> Sequence[str]:
        """What was altered on reading, one sentence each."""

    @property
    def feed(self) -> Mapping[str, Any]:
        """What inputs that are not optimized were given, by name, fit for JSON."""

    @property
    def weights_report(self) -> WeightsReport:
        """Which layers the weights file filled, which it lacks, and which of its layers the net does not have."""

    @property
    def random_layers(self) -> Sequence[str]:
        """Layers with weights that no file gave: they hold what fillers drew."""

    @property
    def unused_layers(self) -> Sequence[str]:
        """Layers of the weights file that the net does not have."""

    @property
    def device(self) -> torch.device:
        """Where the activations are computed."""

    @property
    def dtype(self) -> torch.dtype:
        """The numbers' type: float32, but for toy nets."""

    def activations(
        self,
        x: Tensor,
        layers: Sequence[str],
        *,
        between_layers: bool = False,
        rule: BackwardRule | None = None,
        acted: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return the named layers' values, differentiable with respect to ``x`` (N, ...).

        A layer's name is what that layer wrote; a blob's name that is no layer's is the blob's last value. ``between_layers``
        asks for their gradients with respect to each other too, which may take the slow way to the same numbers.
        ``rule`` stands in for the backward pass of the layers that it applies to; ``acted`` is filled by the backward pass: for which
        samples, (N,) bool, by layer, a rule that tells it changed the gradient. It may take the slow way too.
        """

    def shapes(self, layers: Sequence[str], item: Shape) -> dict[str, Shape]:
        """Return the named values' shapes of one item whose input has the shape ``item``, without computing them."""

    def weights_hash(self) -> str:
        """Return the sha256 of all weights, in hexadecimal."""

    def close(self) -> None:
        """Free what it holds: other processes, open files; a later call may start them again."""


def pick_device(device: str | torch.device) -> torch.device:
    """Return the torch device for ``"auto"`` (the GPU where there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.

    Raises
    ------
    BackendError
        For a device that this machine or this torch does not have.
    """
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    picked = _named(device)
    if picked.type == "cuda" and (picked.index or 0) >= torch.cuda.device_count():
        raise BackendError(f"device '{device}' is not here: torch {torch.__version__} sees {torch.cuda.device_count()} CUDA device(s)")
    return picked


def caffe_device(device: str | torch.device) -> int | str:
    """Return the number of a GPU of real Caffe's, ``"cpu"`` or ``"auto"``; whether it is there only Caffe can tell.

    Raises
    ------
    BackendError
        For what names no device, or none of Caffe's.
    """
    if isinstance(device, str) and device == "auto":
        return "auto"
    picked = _named(device)
    if picked.type not in ("cpu", "cuda"):
        raise BackendError(f"Caffe computes on cpu or cuda, not on '{device}'")
    return "cpu" if picked.type == "cpu" else picked.index or 0


def _named(device: object) -> torch.device:
    if isinstance(device, str | torch.device):
        try:
            return torch.device(device)
        except RuntimeError:
            pass
    raise BackendError(f"'{device}' is no device; use auto, cpu, cuda or cuda:NUMBER")
