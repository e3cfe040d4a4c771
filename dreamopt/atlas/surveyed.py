"""The one pass over an atlas's images, for all of its layers, and what its files say of them."""

from __future__ import annotations

import hashlib
import time
from functools import partial
from pathlib import Path
from typing import Any

from dreamopt.atlas.folder import SURVEY
from dreamopt.atlas.request import AtlasRequest
from dreamopt.atlas.run import AtlasProgress, Report
from dreamopt.dataset.listing import Listing
from dreamopt.dataset.stream import Progress
from dreamopt.network import Network
from dreamopt.network.class_layer import find_class_layer
from dreamopt.recipes.survey import QUANTILES, SAMPLE, Survey, run_survey

TOP = 9
"""Places that drive a unit most."""
PLACES = 5000
"""Images of which activation atlases have a position."""


def survey_settings(request: AtlasRequest, out: Path | None = None) -> dict[str, Any]:
    """Return what decides the results of the pass beside the net, as JSON values; the images by their names, sizes and times of change.

    Those of the atlas itself, whose folder may lie among them, are left out.
    """
    digest, listing = hashlib.sha256(), Listing(request.images)
    if out is not None:
        listing.leave_out(out)
    for entry in listing:
        name = entry.path.removeprefix(str(request.images))
        digest.update(f"{name}\0{entry.bytes}\0{entry.modified}\0".encode("utf-8", "surrogateescape"))
    return {"images": digest.hexdigest(), "top": TOP, "quantiles": list(QUANTILES), "sample": SAMPLE, "seed": request.seed}


def surveyed(out: Path, request: AtlasRequest, network: Network, report: Report | None = None) -> Survey:
    """Pass the images through the net, or go on where an earlier process was; what is complete is read again.

    Parameters
    ----------
    out : Path
        The atlas's folder.
    request : AtlasRequest
        With images.
    network : Network
        The net.
    report : callable, optional
        Called on the way with how many images are done.
    """
    names = [layer.name for layer in request.layers]
    with_places = request.activation_atlas and "activation_atlas" in request.pieces
    reports = False if report is None else partial(_tell, report, Listing(request.images).count(), time.monotonic())
    return run_survey(
        network,
        request.images,
        names,
        out / SURVEY,
        k=TOP,
        places=PLACES if with_places else 0,
        scores=find_class_layer(network, maps=False) if with_places else None,
        seed=request.seed,
        left_out=out,
        progress=reports,
    )


def _tell(report: Report, count: int, began: float, progress: Progress) -> None:
    part = progress.done / count if count else 1.0
    report(AtlasProgress(progress.images, count, progress.skipped, time.monotonic() - began, min(1.0, part), SURVEY, ""))
