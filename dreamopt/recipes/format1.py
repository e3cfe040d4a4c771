"""Metadata of format 1, as dreamopt 0.1 wrote it: numbers beside strings of parts, turned into a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dreamopt.objective import parse
from dreamopt.parts.renamed import SETTINGS, renamed
from dreamopt.recipes.restarts import make_restarts
from dreamopt.recipes.settings import Settings
from dreamopt.recipes.shorthand import PARAMETRIZATIONS
from dreamopt.recipes.stages import stages_of
from dreamopt.recipes.targets import Sample

_OPTIMIZERS = {"adam": 4, "ascent": 2}
"""What plain names stood for: grey levels per step."""
_TEXTS = ("optimizer", "parametrization", "regularizers", "transforms")


def fields_of_format1(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the `Plan` of an image of format 1, but for the init image, the net and what it was made from.

    Parameters
    ----------
    metadata : mapping
        Checked by `dreamopt.recipes.metadata.checked_metadata`.
    """
    described = _with_present_names(metadata["settings"])
    stages: Any = [_with_present_names(stage) for stage in described.pop("stages", ())]
    if described.get("lr") == _OPTIMIZERS.get(metadata["settings"]["optimizer"]):
        described["lr"] = None  # the plain name's own, written down; it is not that of stages with another optimizer
    described["decay"] = described.get("decay") or 0.0
    settings = Settings(**{name: value for name, value in described.items() if value is not None}, stages=stages)
    if settings.stages:
        # The size that was written is the first stage's, already enlarged.
        settings = replace(settings, stages=(replace(settings.stages[0], zoom=1.0), *settings.stages[1:]))
    texts = [renamed(text) for text in metadata["batch"]]
    objectives = {text: parse(text) for text in texts}
    samples = [Sample(objectives[text], item, text) for text, item in zip(texts, metadata["items"], strict=True)]
    place = metadata["place_in_batch"]
    samples[place] = replace(samples[place], text=metadata["target"], label=metadata.get("label"))
    noise = None if settings.init is not None else described.get("noise")
    plain = described["parametrization"] in PARAMETRIZATIONS
    size = (metadata["settings"]["size"][0], metadata["settings"]["size"][1])
    return {
        "samples": tuple(samples),
        "batches": (tuple(range(len(samples))),),
        "settings": settings,
        "stages": stages_of(settings, size),
        "restarts": () if settings.init is not None else tuple(make_restarts(settings.parametrization, noise, plain)),
        "project_every_step": True,
    }


def _with_present_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    new = {SETTINGS.get(name, name): value for name, value in fields.items()}
    if new.get("optimizer") in _OPTIMIZERS:
        new["optimizer"] = f"{new['optimizer']}({_OPTIMIZERS[new['optimizer']]})"
    for name in _TEXTS:
        if name in new:
            new[name] = renamed(new[name]) if isinstance(new[name], str) else [renamed(text) for text in new[name]]
    return new
