"""Replay: a picture made again from what is written in it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.objective import parse
from dreamopt.optimize.result import Callback
from dreamopt.recipes.execute import Job
from dreamopt.recipes.render import FORMAT, Rendered, render_batch
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.targets import one_target
from dreamopt.version import __version__


def check_story(metadata: Mapping[str, Any], path: object = "the picture") -> None:
    """Raise UsageError unless the metadata tells of one picture that can be made again."""
    if metadata.get("recipe") == "sheet":
        raise UsageError(f"{path} is a contact sheet; replay one of the pictures in the folder beside it, or run its command again")
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
    callbacks: Sequence[Callback] = (),
    stop: Callable[[], bool] | None = None,
) -> Rendered:
    """Make a picture again, with the targets that were climbed beside it.

    Parameters
    ----------
    network : Network
        With the same weights.
    metadata : mapping
        Of the picture, as `dreamopt.image.files.read_metadata` gives it.
    callbacks, stop
        As for `dreamopt.render`.

    Returns
    -------
    Rendered
        The same bits as before on the same machine with the same versions and number of threads.

    Raises
    ------
    UsageError
        For metadata that does not say enough, or a net with other weights.
    """
    check_story(metadata)
    if network.hash() != metadata["net"]["weights_sha256"]:
        raise UsageError("the net's weights are not those that the picture was made with: their hashes differ")
    settings = Settings(**metadata["settings"])
    targets = {text: one_target(network, parse(text), settings.size) for text in metadata["batch"]}
    jobs = [Job(targets[text], item) for text, item in zip(metadata["batch"], metadata["items"], strict=True)]
    story = {key: metadata[key] for key in ("source", "load", "command") if key in metadata}
    place: int = metadata["place_in_batch"]
    return render_batch(network, jobs, settings, story, callbacks, stop)[place]


def differences(metadata: Mapping[str, Any], network: Network) -> list[str]:
    """Return what is not as it was when the picture was made, and may change its bits; one phrase each."""
    made, now = metadata.get("made_with", {}), {"torch": torch.__version__, "python": platform.python_version()}
    now |= {"device": str(network.device), "threads": str(torch.get_num_threads()), "machine": platform.machine()}
    return [f"{key} {made[key]} then, {value} now" for key, value in now.items() if key in made and str(made[key]) != value]
