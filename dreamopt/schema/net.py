"""Reading a net's definition: text, older forms, the state's choice of layers, inputs in place of data layers."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dreamopt.errors import DreamoptWarning, NetError, PrototxtError, UsageError
from dreamopt.parts.limits import exceeds
from dreamopt.parts.reading import UTF_MARKS, decode_text, open_regular
from dreamopt.schema.caffe_pb2 import TEST, TRAIN, LayerParameter, NetParameter, V1LayerParameter
from dreamopt.schema.check import check_structure
from dreamopt.schema.crop_offsets import align_crops
from dreamopt.schema.file_type import describe_file_type, describe_message, is_text
from dreamopt.schema.forks import normalize_fork_fields
from dreamopt.schema.input_transform import InputTransform, input_transforms
from dreamopt.schema.inputs import InputShape, OpenItem, make_inputs
from dreamopt.schema.location import SourceLocation
from dreamopt.schema.not_computed import NotComputed, Remainder, is_computed
from dreamopt.schema.numbers import check_numbers
from dreamopt.schema.state import filter_layers
from dreamopt.schema.textformat import Reading
from dreamopt.schema.upgrade import drop_bare_inputs, upgrade
from dreamopt.schema.wire import Wire

_MOST_BYTES = 32 * 2**20  # ResNet-152 has 140 kB; tokens take some twenty times the file
_PHASES = {"TRAIN": TRAIN, "TEST": TEST}


@dataclass
class NetDef:
    """A net as it is to be built.

    Attributes
    ----------
    param : NetParameter
        In V2 form; only the layers of this state; Input layers with a shape for each top where data comes in.
    locations : list of SourceLocation
        Where each of ``param.layer`` stands.
    changes : list of str
        What differs from the file, one sentence each.
    text : str
        The file's text; empty for a net that came as a message.
    transforms : dict of str to InputTransform
        How data layers make their images, by blob, as far as the file says it.
    not_computed : list of NotComputed
        Layers that are left out, since they cannot be computed, or need such a layer; see ``partial`` of `read_net`.
    """

    param: NetParameter
    locations: list[SourceLocation]
    changes: list[str]
    text: str
    transforms: dict[str, InputTransform] = field(default_factory=dict)
    not_computed: list[NotComputed] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The net's name, which may be empty."""
        return self.param.name

    @property
    def phase(self) -> str:
        """``"TRAIN"`` or ``"TEST"``."""
        return "TRAIN" if self.param.state.phase == TRAIN else "TEST"


def read_net(
    source: str | Path | NetParameter,
    phase: str | None = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
    strict: bool = False,
    *,
    input_shape: InputShape = None,
    keep: Collection[str] = (),
    open_item: OpenItem = None,
    optimized: str | None = None,
    partial: bool = False,
) -> NetDef:
    """Read a prototxt of any age and make it a net that can be built without data.

    Parameters
    ----------
    source : str, Path or NetParameter
        The file; or the message itself, which is not changed.
    phase : {"TEST", "TRAIN"} or None
        Which layers are in the net; None for what the file's ``state`` says.
    level : int
        The state's level, for ``min_level`` and ``max_level``.
    stages : sequence of str
        Stages in addition to those of the file's ``state``.
    strict : bool
        Refuse fields that Caffe 1.0 does not have; otherwise they are left out with a warning.
    input_shape : sequence of int, or mapping of blob name to sequence of int
        Shape of the input that is optimized, such as ``(1, 3, 224, 224)``, or of several by name; goes before the file's. Needed
        where a data layer does not tell (Python and HDF5Data layers; Data without a crop).
    keep : collection of str
        Types of data layers that stay as they are.
    open_item : tuple of int, optional
        (C, H, W) of the input that is optimized if neither ``input_shape`` nor the file tells; C may be None where the file tells it.
    optimized : str, optional
        The blob that is to be optimized; by default the first input that an image can go into.
    partial : bool
        Leave out the other inputs whose shape is neither given nor in the file, and all that needs them, instead of refusing the net.

    Returns
    -------
    NetDef

    Raises
    ------
    PrototxtError
        If the file cannot be read as text format.
    NetError
        If the layers do not make a net.
    UsageError
        For arguments out of range.

    Notes
    -----
    Data layers become Input layers of the same name. Their labels go, with the losses, accuracies and Silence layers that
    read them. Python layers are never imported or run.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "net.prototxt"
    >>> _ = path.write_text('''
    ...     input: "data" input_shape { dim: 1 dim: 3 dim: 5 dim: 7 }
    ...     layer { name: "r" type: "ReLU" bottom: "data" top: "r" }
    ... ''')
    >>> net = read_net(path)
    >>> [(layer.name, layer.type) for layer in net.param.layer]
    [('input', 'Input'), ('r', 'ReLU')]
    """
    if isinstance(source, NetParameter):
        locations = [SourceLocation("<net>", 0)] * (len(source.layer) + len(source.layers))
        return _finish(
            source,
            locations,
            SourceLocation("<net>", 0),
            "",
            phase,
            level,
            stages,
            input_shape,
            keep=keep,
            open_item=open_item,
            optimized=optimized,
            partial=partial,
        )
    path = Path(source)
    return parse_net(
        _read_text(path),
        str(source),
        phase,
        level,
        stages,
        strict,
        input_shape=input_shape,
        keep=keep,
        open_item=open_item,
        optimized=optimized,
        partial=partial,
    )


def parse_net(
    text: str,
    filename: str = "<text>",
    phase: str | None = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
    strict: bool = False,
    *,
    input_shape: InputShape = None,
    keep: Collection[str] = (),
    open_item: OpenItem = None,
    optimized: str | None = None,
    partial: bool = False,
) -> NetDef:
    """Read a net from text; the rest is as in `read_net`.

    Parameters
    ----------
    text : str
        What a prototxt holds.
    filename : str
        What errors call it.
    phase, level, stages, strict, input_shape, keep, open_item, optimized, partial
        As in `read_net`.

    Examples
    --------
    >>> parse_net('layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 2 dim: 3 } } }').changes
    ["<text>:1: data layer 'd' (DummyData) became an Input layer"]
    """
    param = NetParameter()
    reading = Reading(text, param, filename, strict=strict, tolerant=True)
    return _finish(
        param,
        reading.layers,
        reading.top,
        text,
        phase,
        level,
        stages,
        input_shape,
        reading.unknown,
        keep,
        open_item,
        optimized,
        partial,
    )


def _finish(
    param: NetParameter,
    locations: Sequence[SourceLocation],
    top: SourceLocation,
    text: str,
    phase: str | None,
    level: int,
    stages: Sequence[str],
    input_shape: InputShape,
    unknown: Sequence[str] = (),
    keep: Collection[str] = (),
    open_item: OpenItem = None,
    optimized: str | None = None,
    partial: bool = False,
) -> NetDef:
    if phase is not None and phase not in _PHASES:
        raise UsageError(f"phase is {phase!r}, but has to be 'TRAIN', 'TEST' or None for the file's own")
    if not param.layer and not param.layers:
        raise NetError(f"{top}: the net has no layers (a solver's file names its net in the field 'net')")
    _check_counts(param, top)
    changes = list(unknown)
    upgraded, kept_locations = upgrade(param, locations, top, changes)
    normalize_fork_fields(upgraded, kept_locations, changes)
    if phase is not None:
        upgraded.state.phase = _PHASES[phase]
    upgraded.state.level = level
    upgraded.state.stage.extend(stages)
    all_layers = list(zip(upgraded.layer, kept_locations, strict=True))
    kept_locations = filter_layers(upgraded, kept_locations)
    if param.input and not param.input_shape and not param.input_dim:
        kept_locations = drop_bare_inputs(upgraded, kept_locations, changes)
    kept_ids = {id(location) for location in kept_locations}
    left_out = [(layer, location) for layer, location in all_layers if id(location) not in kept_ids]
    if not kept_locations:
        raise NetError(
            f"{top}: no layer is left in the phase {'TRAIN' if upgraded.state.phase == TRAIN else 'TEST'} at level {level}: "
            "see their include and exclude"
        )
    check_numbers(upgraded.layer, kept_locations)
    align_crops(upgraded, kept_locations, changes)
    transforms = input_transforms(upgraded.layer, kept_locations, changes)
    remainder = Remainder() if partial else None
    kept_locations = make_inputs(upgraded, kept_locations, input_shape, changes, keep, open_item, optimized, remainder)
    kept_locations = _without_lost(upgraded, kept_locations, remainder)
    computed = {id(location) for layer, location in zip(upgraded.layer, kept_locations, strict=True) if layer.type != "Input"}
    named = {entry.place for entry in remainder.left_out} if remainder is not None else set()
    _settle_problems(all_layers, computed, named, changes)
    check_structure(upgraded, kept_locations, left_out)
    return NetDef(upgraded, kept_locations, changes, text, transforms, [] if remainder is None else remainder.left_out)


def _without_lost(param: NetParameter, locations: list[SourceLocation], remainder: Remainder | None) -> list[SourceLocation]:
    """Leave out the layers with words that they do not take, or that need an input of no known shape, in place; return the places left."""
    if remainder is None or not (remainder.left_out or any(location.problems for location in locations)):
        return locations
    layers = []
    for layer, location in zip(param.layer, locations, strict=True):
        if remainder.lacks(layer, location):
            continue
        if location.problems and layer.type != "Input":
            remainder.leave_out(layer, location, str(location.problems[0]))
        else:
            layers.append((layer, location))
    if remainder.left_out and not is_computed(layer for layer, _ in layers):
        problems = [problem for location in locations for problem in location.problems]
        raise problems[0] if problems and str(problems[0]) == remainder.left_out[0].reason else NetError(remainder.left_out[0].reason)
    del param.layer[:]
    param.layer.extend(layer for layer, _ in layers)
    return [location for _, location in layers]


def _settle_problems(
    layers: Sequence[tuple[LayerParameter, SourceLocation]], computed: Collection[int], named: Collection[str], changes: list[str]
) -> None:
    """Refuse a word that a layer does not take, or warn of it where that layer is left out, or only the shape of its data is used.

    The layers at the places ``named`` are listed as not computed for it.
    """
    for layer, location in layers:
        for problem in location.problems if str(location) not in named else ():
            if id(location) in computed or layer.type == "Input":
                raise problem
            changes.append(f"{problem}; the layer is not computed, and the word is left out")
            warnings.warn(changes[-1], DreamoptWarning, stacklevel=5)


def _check_counts(param: NetParameter, top: SourceLocation) -> None:
    """Refuse more layers, blobs or inputs than any net has, of a message too, which no text limited."""
    layers: list[LayerParameter | V1LayerParameter] = [*param.layer, *param.layers]
    blobs = sum(len(layer.bottom) + len(layer.top) for layer in layers)
    inputs = len(param.input) + sum(len(layer.top) for layer in layers if len(layer.bottom) == 0)
    for name, count, what in (
        ("layers", len(layers), "layers"),
        ("blobs", blobs, "bottoms and tops"),
        ("inputs", inputs, "tops of layers that read nothing, and inputs"),
    ):
        allowed = exceeds(name, count)
        if allowed:
            raise NetError(f"{top}: the net has {count} {what}, but {allowed}")


def _read_text(path: Path) -> str:
    with open_regular(path, "the net", PrototxtError) as stream:
        content = stream.read(_MOST_BYTES + 1)
    head = content[:4096]
    file_type = describe_file_type(head)
    if not file_type and not content.startswith(UTF_MARKS) and not is_text(head):
        message = describe_message(Wire(content, str(path)), len(content))
        file_type = message or "a binary file; if it is a caffemodel, give it as the weights, and the prototxt as the net"
    if not file_type and len(content) > _MOST_BYTES:
        file_type = f"a file of more than {_MOST_BYTES} bytes"
    if file_type:
        raise PrototxtError(f"{path}: a net in text format (prototxt) is expected, but this is {file_type}")
    if content.startswith(UTF_MARKS):
        return decode_text(content, f"{path}: the net", PrototxtError)
    return content.decode("utf-8", "surrogateescape")
