"""Replay: an image made again from its metadata."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from dreamopt.errors import UsageError
from dreamopt.image.channels import shown_as
from dreamopt.network import Network
from dreamopt.optimize import Callback
from dreamopt.parts.arguments import check_kind, check_path, check_several, check_texts
from dreamopt.recipes.execute import execute_batch
from dreamopt.recipes.inputs import RecordedInputs, is_net_name
from dreamopt.recipes.kept_tiles import recorded_tiles
from dreamopt.recipes.metadata import checked_image
from dreamopt.recipes.plan import Plan, recorded_hashes
from dreamopt.recipes.rendered import Rendered

FROM_METADATA = ("channel_order", "scale", "device", "input_shape", "input", "phase", "stage", "level", "precision")
"""Options of a net that its image's metadata may choose: numbers and words."""
BUILT_IN = ("auto", "engine")
"""Backends that metadata may choose: those that start no program and import no other package."""


def replay(
    network: Network,
    metadata: Mapping[str, Any],
    *,
    plan: Plan | None = None,
    files: Sequence[str | os.PathLike[str]] = (),
    folder: str | os.PathLike[str] | None = None,
    plugins: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], bool] | None = None,
) -> Rendered:
    """Make an image again, with the samples that were optimized beside it.

    Parameters
    ----------
    network : Network
        With the same weights.
    metadata : mapping
        Of the image, as `dreamopt.image.files.read_metadata` gives it. It may be of anybody: what it says chooses among built-in parts
        and numbers.
    plan : Plan, optional
        What the metadata describes, where it has been read already.
    files : sequence of path
        Files that the metadata name (init and reference images, vectors), where they are now. A path in the metadata is not opened.
    folder : path, optional
        Of the image: what lies in it under a recorded name, with the recorded sha256, need not be named.
    plugins : sequence of str
        Names of installed plugins that the metadata may name.
    callbacks, stop
        As for `dreamopt.render`.

    Returns
    -------
    Rendered
        The same bits as before on the same machine with the same versions and number of threads, if the files that were read are
        as they were; see `differences`.

    Raises
    ------
    UsageError
        For metadata that does not say enough, or a net with other weights.
    TrustError
        For metadata that names files or plugins that were not given.
    """
    check_kind("network", network, Network, "a network of dreamopt.load_net")
    if plan is not None:
        check_kind("plan", plan, Plan, "a Plan")
    named = [check_path("each of files", file) for file in check_several("files", files, "paths")]
    folder = None if folder is None else check_path("folder", folder)
    plugins = check_texts("plugins", plugins, "names")
    checked = checked_image(metadata)
    if network.hash() != checked["net"]["weights_sha256"]:
        raise UsageError("the net's weights are not those that the image was made with: their hashes differ")
    if plan is None:
        inputs = RecordedInputs(recorded_hashes(checked), folder, named)
        plan = Plan.read(checked, inputs, what="the metadata of the image", plugins=plugins)
    shown_as(plan.settings.channels, network.input_shape[0], plan.stages[-1].size)  # before the first step
    tile_memory = recorded_tiles(checked)
    if tile_memory is not None:
        network = network.tiled(tile_memory)
    place: int = checked["place_in_batch"]
    return execute_batch(plan, network, 0, callbacks=callbacks, stop=stop)[place]


def net_of(metadata: Mapping[str, Any], inputs: RecordedInputs, options: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return the net of an image, and the options that load it: the user's, and of the metadata's what a file may choose.

    Parameters
    ----------
    metadata : mapping
        Checked by `dreamopt.recipes.metadata.checked_image`.
    inputs : RecordedInputs
        Which files may be opened. What else only the user may say is added to its ``needs``.
    options : mapping
        What the user said, by name; None for what was not said.

    Returns
    -------
    net : str or None
        A prototxt's path or a name; None for the embedded net.
    options : dict
    """
    load: dict[str, Any] = metadata.get("load", {})
    chosen = dict(options) | {name: load.get(name) for name in FROM_METADATA if options.get(name) is None}
    for name in ("net", "weights", "labels", "mean"):
        path = load.get(name)
        if options.get(name) is not None:
            chosen[name] = options[name] if path is None else inputs.name(path, options[name])
        elif path is not None:
            chosen[name] = path if _names_no_file(name, path) else inputs.find(path, name)
    if chosen.get("feed") is None and load.get("feed") is not None:
        chosen["feed"] = [_fed(text, inputs) for text in load["feed"]]
    backend, python = load.get("backend"), load.get("python")
    if chosen.get("backend") is None and backend not in (None, *BUILT_IN):
        inputs.needs["backend", backend] = "which runs a program that is not dreamopt's"
    elif chosen.get("backend") is None:
        chosen["backend"] = backend
    if chosen.get("python") is None and python is not None and chosen.get("backend") not in BUILT_IN:
        inputs.needs["python", python] = "a command that would be run"
    return chosen.pop("net", None), chosen


def _fed(text: str, inputs: RecordedInputs) -> str:
    """Return a feed, BLOB=VALUE, with the file that is opened in a recorded one's stead."""
    blob, _, value = text.partition("=")
    return text if _is_numbers(value) else f"{blob}={inputs.find(value)}"


def _names_no_file(name: str, text: str) -> bool:
    """Return whether a net or a mean is said without a file: by a name, or by numbers."""
    if name == "net":
        return is_net_name(text)
    return name == "mean" and _is_numbers(text)


def _is_numbers(text: str) -> bool:
    try:
        return bool([float(number) for number in text.split(",")])
    except ValueError:
        return False


def differences(metadata: Mapping[str, Any], network: Network, inputs: RecordedInputs | None = None) -> list[str]:
    """Return what is not as it was when the image was made, and may change its bits; one phrase each.

    Parameters
    ----------
    metadata : mapping
        Of the image.
    network : Network
        The net that it was made again with.
    inputs : RecordedInputs, optional
        The files that were opened.
    """
    then, now = metadata.get("made_with", {}), {"torch": torch.__version__, "python": platform.python_version()}
    then = {"precision": metadata.get("net", {}).get("precision", "float32")} | dict(then)
    now |= {
        "precision": network.precision,
        "device": str(network.device),
        "threads": str(torch.get_num_threads()),
        "machine": platform.machine(),
    }
    changed = [] if inputs is None else inputs.changed()
    return changed + [f"{key} {then[key]} then, {value} now" for key, value in now.items() if key in then and str(then[key]) != value]
