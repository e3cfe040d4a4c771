"""Replay: an image made again from its metadata."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.optimize import Callback
from dreamopt.recipes.execute import execute_batch
from dreamopt.recipes.inputs import changed_inputs
from dreamopt.recipes.plan import FORMAT, Plan
from dreamopt.recipes.rendered import Rendered
from dreamopt.version import __version__


def check_metadata(metadata: Mapping[str, Any], path: object = "the image") -> None:
    """Raise UsageError unless the metadata tells of one image that can be made again."""
    if metadata.get("recipe") == "sheet":
        raise UsageError(f"{path} is a contact sheet; replay one of the images in the folder beside it, or run its command again")
    if metadata.get("recipe") != "render" or "batch" not in metadata or "settings" not in metadata:
        raise UsageError(f"{path} was not made by dreamopt render, or by a version that did not write down enough to make it again")
    if metadata["format"] > FORMAT:
        raise UsageError(
            f"{path} was made by dreamopt {metadata['dreamopt']}, which writes more than this version, {__version__}, can read"
        )


def replay(
    network: Network,
    metadata: Mapping[str, Any],
    *,
    plan: Plan | None = None,
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], bool] | None = None,
) -> Rendered:
    """Make an image again, with the samples that were optimized beside it.

    Parameters
    ----------
    network : Network
        With the same weights.
    metadata : mapping
        Of the image, as `dreamopt.image.files.read_metadata` gives it.
    plan : Plan, optional
        What the metadata describes, where it has been read already.
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
    """
    check_metadata(metadata)
    if network.hash() != metadata["net"]["weights_sha256"]:
        raise UsageError("the net's weights are not those that the image was made with: their hashes differ")
    plan = Plan.read(metadata) if plan is None else plan
    place: int = metadata["place_in_batch"]
    return execute_batch(plan, network, 0, callbacks=callbacks, stop=stop)[place]


def differences(metadata: Mapping[str, Any], network: Network) -> list[str]:
    """Return what is not as it was when the image was made, and may change its bits; one phrase each."""
    then, now = metadata.get("made_with", {}), {"torch": torch.__version__, "python": platform.python_version()}
    now |= {"device": str(network.device), "threads": str(torch.get_num_threads()), "machine": platform.machine()}
    changed = changed_inputs(metadata.get("inputs", {}))
    return changed + [f"{key} {then[key]} then, {value} now" for key, value in now.items() if key in then and str(then[key]) != value]
