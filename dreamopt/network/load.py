"""From files to a network: what they say, what the caller says, and what is assumed in between."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike

from dreamopt import data
from dreamopt.backends.base import FLOAT32, START_TIMEOUT, TIMEOUT, Backend, OpenOptions, check_precision
from dreamopt.backends.caffe.python_layers import permitted, read_with_python_data
from dreamopt.backends.inputs.cut import with_input
from dreamopt.backends.registry import opener
from dreamopt.errors import DreamoptWarning, ModelError, UsageError
from dreamopt.models import locate
from dreamopt.network.class_layer import class_counts
from dreamopt.network.feed import FeedImage, read_feed
from dreamopt.network.input_space import NAMES, InputSpace, input_space
from dreamopt.network.network import Network, kind_of
from dreamopt.network.preprocessing import ZOO_MEAN
from dreamopt.parts.arguments import check_flag, check_kind, check_path, check_seed, check_several, check_text, check_texts
from dreamopt.parts.checks import POSITIVE, SIDE, Range, check_number, check_whole
from dreamopt.schema import NetDef, has_weight_filler, is_zero_filled, read_labels, read_mean, read_net

EMBEDDED = "tiny"
"""Name of the small net that the package carries."""

StrPath = str | os.PathLike[str]


def load_net(
    prototxt_or_name: StrPath | NetDef | None = None,
    weights: StrPath | None = None,
    *,
    backend: str = "auto",
    python: str | Sequence[str] | None = None,
    timeout: float = TIMEOUT,
    start_timeout: float = START_TIMEOUT,
    device: str | torch.device = "auto",
    mean: StrPath | ArrayLike | None = None,
    channel_order: str | None = None,
    scale: float | None = None,
    labels: StrPath | Sequence[str] | None = None,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
    phase: str = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
    default_input_size: tuple[int, int] | None = None,
    strict: bool = False,
    allow_python_layers: bool | None = None,
    known: Mapping[str, Any] | None = None,
    input: str | None = None,
    feed: Mapping[str, ArrayLike | StrPath] | None = None,
    precision: str = FLOAT32,
) -> Network:
    """Load a trained Caffe net as a differentiable function of images.

    How images become the net's input is what the caller says here, or the prototxt in its data layer's ``transform_param``. What neither
    says is taken as in Caffe's model zoo (BGR, 0-255, mean 104, 117, 123 for three channels and 0 for any other number), and
    `Network.describe` says whose word each number is.

    Parameters
    ----------
    prototxt_or_name : path, optional
        The net's definition; None or ``"tiny"`` is the small net that the package carries, weights and all; the name of
        a model that ``dreamopt models get`` has fetched is that model, with its mean, scale, channel order and labels.
    weights : path, optional
        A ``.caffemodel`` or ``.caffemodel.h5``. Without it the weights are what the net's fillers draw: random.
    backend : str
        What computes the net: ``"engine"`` (``"auto"`` too), the built-in one; ``"pycaffe"``, real Caffe in this Python; ``"remote"``,
        real Caffe in another; or the name of another file of ``dreamopt/backends`` or of an entry point ``dreamopt.backends``.
    python : str or sequence of str, optional
        For ``"remote"``: the command that starts a Python with Caffe and numpy, such as ``"chroot /srv/caffe python3"``.
    timeout : float
        For ``"remote"``: seconds after which an answer is not waited for any more, and Caffe started again.
    start_timeout : float
        For ``"remote"``: seconds within which the command has to start its Python, and that to import Caffe.
    device : str
        ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
    mean : number, sequence, array or path, optional
        What is subtracted, in grey levels and in the net's channel order: one number, one per channel, a (C, H, W) array, or
        a ``.npy`` or ``.binaryproto`` file. A (C, H, W) mean is subtracted pixel by pixel from images of just that
        size, and its mean over each channel from all others. Where the prototxt's data layer cuts images to a ``crop_size``, it is the
        middle of the mean image that counts, as in Caffe.
    channel_order : {"BGR", "RGB"}, optional
        Order of the first three channels; BGR by default.
    scale : float, optional
        What the difference is multiplied by (MobileNet's is 0.017).
    labels : path or sequence of str, optional
        Names of the classes, or their file, in any of the forms in docs/formats.md.
    input_shape : sequence of int or mapping, optional
        Where the file leaves the shape of ``input`` open, or to change it: (N, C, H, W); or of several by blob name.
    seed : int
        For the fillers of layers without weights.
    phase : {"TEST", "TRAIN"}
        Which layers are in the net.
    level : int
        The same, for the file's ``min_level`` and ``max_level``.
    stages : sequence of str
        The same, for its ``stage`` and ``not_stage``.
    default_input_size : (int, int), optional
        Height and width of the input where neither ``input_shape`` nor the file tells and its channels are known, by the
        data layer or the mean.
    strict : bool
        Refuse fields that Caffe 1.0 does not have, instead of warning.
    allow_python_layers : bool, optional
        Import and run the classes that ``Python`` layers name; a net that has some is refused otherwise. By default as the
        environment variable ``DREAMOPT_ALLOW_PYTHON_LAYERS`` says: ``1`` allows it.
    known : mapping, optional
        ``mean``, ``scale`` and ``channel_order`` as the catalogue has them, which count where neither the caller nor the prototxt says.
    input : str, optional
        What is optimized: an input of the net, by default the one that an image goes into; or any other blob or layer, where the net is
        then cut, so that what it wrote is the input. Embedded words are optimized so.
    feed : mapping, optional
        What the other inputs are fed, by name: a number, an array of one sample (which each sample gets) or of all, the path of a
        ``.npy`` file or of an image, or text of numbers with commas between them. By default zeros; for the marks of where sequences
        begin 0 and then 1, for a detector's ``im_info`` height, width and 1, and for its boxes the whole image.
    precision : {"float32", "bf16"}
        What convolutions and inner products multiply, forward and backward; sums and all other layers are float32. ``"bf16"``, bfloat16,
        needs a processor with ``avx512_bf16`` or ``amx_bf16``, or a GPU of compute capability 8.0, and the built-in engine without
        backward rules. It rounds to 3 digits; docs/performance.md says what that does to values, gradients and speed.

    Returns
    -------
    Network

    Warns
    -----
    DreamoptWarning
        If any weights are random, or the labels' number is not that of the net's classes.

    Raises
    ------
    NetError, WeightsError
        For files that are damaged or do not fit; the message names layer, file and line.
    ModelError
        For a name that is neither a file nor a model that was fetched.
    BackendError
        For an unknown backend or device, a Caffe that is missing, too old, or refuses the net, or a device without the precision.
    """
    if not isinstance(prototxt_or_name, NetDef | None):
        check_path("prototxt_or_name", prototxt_or_name)
    for what, path in (("weights", weights), ("python", python), ("labels", labels)):
        if path is not None and not (what != "weights" and isinstance(path, Sequence)):
            check_path(what, path)
    if python is not None and not isinstance(python, str | os.PathLike):
        python = check_texts("python", python, "words of a command")
    for what, text in (("phase", phase), ("input", "" if input is None else input)):
        check_text(what, text)
    seed, level = check_seed("seed", seed), check_whole("level", level, Range(-(2**31), 2**31 - 1))
    precision = check_precision(precision)
    stages, strict = check_texts("stages", stages, "names"), check_flag("strict", strict)
    timeout = check_number("timeout", timeout, POSITIVE)
    start_timeout = check_number("start_timeout", start_timeout, POSITIVE)
    if default_input_size is not None:
        height, width = _pair(default_input_size)
        default_input_size = height, width
    if known is not None:
        check_kind("known", known, Mapping, "a mapping")
    if allow_python_layers is not None:
        allow_python_layers = check_flag("allow_python_layers", allow_python_layers)
    open_net = opener(check_text("backend", backend))
    feeds, feed_files = read_feed(feed)
    given: dict[str, Any] = {"mean": mean, "channel_order": channel_order, "scale": scale}
    known_from, files = "catalogue", [weights, labels]
    if prototxt_or_name is None or prototxt_or_name == EMBEDDED:
        prototxt_or_name, own_weights, known = embedded()
        known_from = "package"
        weights = weights if weights is not None else own_weights
        labels = known["labels"] if labels is None else labels
    elif isinstance(prototxt_or_name, str) and _is_name(prototxt_or_name):
        found = locate(prototxt_or_name)
        assert found.prototxt is not None  # only the embedded net has none
        prototxt_or_name, weights = found.prototxt, found.weights if weights is None else weights
        labels = found.labels if labels is None else labels
        known = {key: getattr(found, key) for key in NAMES}
        files = [prototxt_or_name, weights, labels]
    else:
        files.append(prototxt_or_name if isinstance(prototxt_or_name, str | os.PathLike) else None)
    allow = permitted(allow_python_layers)
    if isinstance(prototxt_or_name, NetDef):
        definition = prototxt_or_name
    else:
        read = read_with_python_data if allow else read_net
        known_mean = mean if mean is not None or known is None else known.get("mean")
        definition = read(
            Path(prototxt_or_name),
            input_shape=input_shape,
            phase=phase,
            level=level,
            stages=stages,
            strict=strict,
            open_item=None if default_input_size is None else (_channels(known_mean), *default_input_size),
            optimized=input,
            partial=True,
        )
    is_cut = False
    if input is not None:
        shape = input_shape.get(input) if isinstance(input_shape, Mapping) else input_shape
        definition, input, is_cut = with_input(definition, input, shape)
    if is_cut and mean is not None:
        raise UsageError(f"a mean was given, but the net is cut at '{input}', and its input is what a layer wrote, not an image")
    options = OpenOptions(device, seed, phase, allow, python, timeout, start_timeout, input, feeds, precision)
    computed = open_net(definition, weights, options)
    if getattr(computed, "precision", FLOAT32) != precision:
        options.refuse_precision(backend)
    notes = _weights_notes(computed, weights, seed, definition)
    class_names = read_labels(labels, class_counts(computed.layers))
    for sentence in () if class_names is None else class_names.warnings:
        notes.append(sentence)
        warnings.warn(sentence, DreamoptWarning, stacklevel=2)
    space = None if is_cut else _input_space(computed, given, definition, known, known_from)
    preprocessing = None
    if space is not None:
        preprocessing = space.preprocessing
        notes += space.notes
        files += space.files
    names = None if class_names is None else class_names.names
    network = Network(computed, preprocessing, names, notes, is_image=preprocessing is not None and len(computed.input_shape) == 3)
    network.labels_form = "" if class_names is None else class_names.form
    if network.index_reader is not None:
        network.notes += (network.index_sentence,)
    for value in feeds.values():
        if isinstance(value, FeedImage):
            value.preprocessing = preprocessing
    files += feed_files
    network.files = tuple(dict.fromkeys(os.fspath(path) for path in files if isinstance(path, str | os.PathLike)))
    return network


def _pair(size: Any) -> tuple[int, int]:
    sides = tuple(check_whole("default_input_size", side, SIDE) for side in check_several("default_input_size", size, "numbers"))
    if len(sides) != 2:
        raise UsageError(f"default_input_size must be (height, width), not {sides}")
    return sides[0], sides[1]


def _input_space(
    backend: Backend, given: Mapping[str, Any], definition: NetDef, known: Mapping[str, Any] | None, known_from: str
) -> InputSpace | None:
    """Return how images become the input; None for an input that has no grey levels."""
    item, transform = backend.input_shape, definition.transforms.get(backend.input_name)
    is_said = any(given[name] is not None for name in ("mean", "scale")) or transform is not None
    if len(item) == 3 or (len(item) == 4 and (item[0] == 3 or is_said)):
        return input_space(item[0], given, transform, known, known_from, axes=len(item) - 1)
    if given["mean"] is not None:
        raise UsageError(f"a mean was given, but the net's input '{backend.input_name}' is {kind_of(item)}, not an image")
    return None


def embedded() -> tuple[Path, Path, dict[str, Any]]:
    """Return the package's own net: prototxt, weights, and how its input is made (`load_net`'s parameters).

    Raises
    ------
    ModelError
        If this installation lacks the files.
    """
    lost = ", ".join(path.name for path in (data.PROTOTXT, data.WEIGHTS, data.LABELS) if not path.is_file())
    if lost:
        raise ModelError(f"the embedded net is not complete: {lost} not found in {data.PROTOTXT.parent}; install the package again")
    return data.PROTOTXT, data.WEIGHTS, {"mean": ZOO_MEAN, "channel_order": "BGR", "scale": 1.0, "labels": data.LABELS}


def _is_name(text: str) -> bool:
    return not (os.sep in text or text.endswith(".prototxt") or os.path.exists(text))


def _weights_notes(backend: Backend, weights: StrPath | None, seed: int, definition: NetDef) -> list[str]:
    """Return what is to be said of the weights, and warn where some are random or 0."""
    lacking, unused, notes = backend.random_layers, backend.unused_layers, []
    why = "no weights file was given" if weights is None else f"'{os.fspath(weights)}' does not have them"
    params = {layer.name: layer for layer in definition.param.layer}
    drawn = [name for name in lacking if name in params and has_weight_filler(params[name])]
    zero = [name for name in drawn if is_zero_filled(params[name])]
    groups = (
        (f"random (seed {seed})", [name for name in drawn if name not in zero]),
        ("all 0 (the prototxt names no weight_filler)", zero),
        ("those that Caffe begins with", [name for name in lacking if name not in drawn]),
    )
    said = [f"{_some(names)} are {are}" for are, names in groups if names]
    if said:
        notes.append(f"the weights of {', of '.join(said)}, since {why}")
        warnings.warn(notes[-1], DreamoptWarning, stacklevel=3)
    if unused:
        notes.append(f"the weights file has layers that the net does not: {_some(unused)}")
    return notes


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _channels(mean: Any) -> int | None:
    """Return how many channels a mean tells of."""
    values = _mean(mean)
    found = () if values is None else np.shape(values)
    return None if len(found) not in (1, 3) or found == (1,) else found[0]


def _mean(mean: Any) -> ArrayLike | None:
    if isinstance(mean, str | os.PathLike):
        return cast(ArrayLike, read_mean(Path(mean)))
    return None if mean is None else np.asarray(mean, dtype=np.float64)
