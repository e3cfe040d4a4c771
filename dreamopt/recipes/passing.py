"""Passing a set of images through a net, with its state kept in a folder: what `top` and `survey` share."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from dreamopt.dataset.frames import Fit
from dreamopt.dataset.listing import SUFFIXES, Listing
from dreamopt.dataset.stream import Progress, Reducer, stream
from dreamopt.errors import ImageError, UsageError
from dreamopt.network import Network
from dreamopt.recipes.pass_folder import PassFolder

SECONDS = 20.0
"""From one time that the state is written to the next."""
_SHARE = 0.05  # the most of the time that writing the state may take


def request_of(network: Network, listing: Listing, fit: Fit) -> dict[str, Any]:
    """Return what decides a pass, but for the images themselves and what is looked at, fit for JSON."""
    return {
        "net": network.hash(),
        "input": {
            name: value for name, value in network.describe_input().items() if name in ("mean", "channel_order", "scale", "precision")
        },
        "sources": [source if isinstance(source, str) else repr(source) for source in listing.sources],
        "size": list(network.item_shape(fit.size)[1:]),
        "longest": fit.longest,
    }


def run_pass(
    network: Network,
    listing: Listing,
    reducers: Sequence[Reducer],
    fit: Fit,
    batch: int,
    folder: PassFolder | None = None,
    *,
    progress: Callable[[Progress], object] | None = None,
    stop: Callable[[], bool] | None = None,
    every: float = SECONDS,
) -> Progress:
    """Pass a set through a net; return how far it is.

    The state is written into the folder every so many seconds, more rarely where that takes long, and at the end.

    Raises
    ------
    UsageError
        For a set without images.
    ImageError
        For one of which none can be read.
    """
    start = None if folder is None else folder.restored(listing, reducers)
    now, saved, wait = start or Progress(), time.monotonic(), every
    if start is not None and start.complete and start.images and next(islice(listing, start.done, None), None) is None:
        if progress is not None:
            progress(start)
        return start  # nothing was added since
    with contextlib.closing(stream(network, listing, reducers, fit, batch=batch, start=start)) as steps:
        for now in steps:
            if progress is not None:
                progress(now)
            stopped = not now.complete and stop is not None and stop()
            if folder is not None and now.images and (stopped or now.complete or time.monotonic() - saved >= wait):
                begin = time.monotonic()
                folder.save(now, reducers)
                saved = time.monotonic()
                wait = max(every, (saved - begin) / _SHARE) if every else every
            if stopped:
                break
    if now.complete and not now.images:
        if not now.skipped:
            where = ", ".join(f"'{source}'" for source in listing.sources[:3] if isinstance(source, str))
            raise UsageError(f"there is no image in {where}; those of a folder end in {', '.join(SUFFIXES)}")
        path, reason = now.reasons[0]
        raise ImageError(f"none of the {now.skipped} images could be read; of '{path}': {reason}")
    return now
