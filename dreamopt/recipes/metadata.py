"""What an image's metadata and a job's file may say: every key with its type and range, of format 1 and of format 2, in this one place.

Only what is checked here is used afterwards. A file's words choose among built-in parts and numbers; which plugins and files they may
name is `dreamopt.parts.trust`'s and `dreamopt.recipes.inputs`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dreamopt.errors import DreamoptError, UsageError
from dreamopt.parts import forms
from dreamopt.parts.arguments import check_kind
from dreamopt.parts.checks import ANY, FRACTION, LARGEST_COUNT, NOT_NEGATIVE, POSITIVE, SIDE, Range
from dreamopt.parts.forms import Form, Key, choice, flag, listed, mapped, number, optional, record, row, same_length, text, whole
from dreamopt.version import __version__

FORMAT = 2
"""Version of the metadata's form that is written."""
_NATURAL = Range(0, LARGEST_COUNT)
_BYTES = Range(1, 2**50)
_NAME = text(4096)
_PATH = text(2**16)
_PART = text()
_PARTS = listed(_PART, most=1000)
_DIGEST = text(200, "[0-9a-fA-F]+", "a sha256 in hexadecimal digits")
_PAIR = row(whole(SIDE), whole(SIDE))
_LAYERS = listed(_NAME, most=1000)


def _seed(value: Any, key: Key) -> int:
    """Read a seed: a whole number of any size, unlike what is counted."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise key.misfit("a whole number of at least 0", value)
    return value


def _depth(value: Any, key: Key) -> Any:
    """Read how many bits an image is written with: 8, 16 or "auto"."""
    return choice("auto")(value, key) if isinstance(value, str) else whole(Range(8, 16))(value, key)


def _batch_size(value: Any, key: Key) -> Any:
    """Read a number of images, or "auto", which plans do not say: theirs is chosen."""
    return choice("auto")(value, key) if isinstance(value, str) else whole()(value, key)


def _strength(value: Any, key: Key) -> Any:
    """Read a number from 0 to 1, or a path."""
    return _PATH(value, key) if isinstance(value, str) else number(FRACTION)(value, key)


def _several(form: Form) -> Form:
    """Return the form of a list, or of one entry alone, as format 1 wrote it."""
    return lambda value, key: [form(value, key)] if isinstance(value, str) else listed(form, most=1000)(value, key)


_RUN: Mapping[str, Form] = {
    "steps": whole(),
    "views": whole(),
    "optimizer": _PART,
    "transforms": _PARTS,
    "regularizers": _PARTS,
}
_BOTH: Mapping[str, Form] = {
    "seed": _seed,
    "init": optional(_PATH),
    "redirected": whole(_NATURAL),
    "octaves": whole(),
    "octave_scale": number(Range(low=1, above=True)),
    "stretch": flag,
    "transparency": flag,
    "batch_size": _batch_size,
}
"""What the settings of both formats say beside the runs."""
STAGE = record({**_RUN, "zoom": number(POSITIVE), "layer": _LAYERS}, {"target": _PART})
_SHOWN: Mapping[str, Form] = {
    "mask": optional(_PATH),
    "strength": _strength,
    "original_colors": flag,
    "blend": number(FRACTION),
    "contrast": optional(number(Range(0, 100, above=True))),
}


def settings_form(size: Form) -> Form:
    """Return the form of `dreamopt.recipes.Settings` as `describe` writes it; ``size`` is that of its size."""
    return record(
        {
            **_RUN,
            "size": size,
            "default_size": optional(whole(SIDE)),
            **_BOTH,
            "init_noise": number(NOT_NEGATIVE),
            "parametrization": _PART,
            "stages": listed(STAGE, most=1000),
        },
        {"channels": text(100), "depth": _depth, "rule": _PART, **_SHOWN},
    )


SETTINGS = settings_form(_PAIR)
"""The settings of a plan."""
_NUMBERS: Mapping[str, Form] = {
    **{name: optional(number(NOT_NEGATIVE)) for name in ("tv", "l2", "decay", "blur", "noise")},
    "lr": optional(number(POSITIVE)),
    "jitter": optional(whole(_NATURAL)),
}
_RUN_1: Mapping[str, Form] = {
    **_NUMBERS,
    "steps": whole(),
    "views": whole(),
    "optimizer": _PART,
    "transforms": _several(_PART),
    "regularizers": _several(_PART),
}
SETTINGS_1 = record(
    {"size": _PAIR, "optimizer": _PART, "parametrization": _PART},
    {
        **_RUN_1,
        **{name: optional(whole(SIDE)) for name in ("usual_size", "default_size")},
        **_BOTH,
        "stages": listed(record({}, {**_RUN_1, "zoom": number(POSITIVE), "layer": _several(_NAME)}), most=1000),
    },
)
"""The settings of format 1."""
LOAD: Mapping[str, Form] = {
    **{name: optional(_PATH) for name in ("net", "weights", "mean", "labels", "cache")},
    "channel_order": optional(text(3, "(?i:BGR|RGB)", "'BGR' or 'RGB'")),
    "scale": optional(number(ANY)),
    "device": optional(text(20, r"auto|cpu|cuda(:\d{1,3})?", "auto, cpu, cuda or cuda:NUMBER")),
    "precision": optional(text(7, "float32|bf16", "float32 or bf16")),
    "backend": optional(_NAME),
    "python": optional(text(2**16)),
    "input_shape": optional(listed(_NAME, most=100)),
    "input": optional(_NAME),
    "feed": optional(listed(text(2**20), most=100)),
    "phase": optional(text(5, "(?i:TEST|TRAIN)", "'TEST' or 'TRAIN'")),
    "stage": optional(listed(_NAME, most=100)),
    "level": optional(whole(Range(-(2**31), 2**31))),
}
"""The options that loaded the net, as `dreamopt.cli.net` writes them; which of them count is for `dreamopt.recipes.replay` to say."""
_NET = record({"weights_sha256": _DIGEST}, rest="kept")
_PROVENANCE: Mapping[str, Form] = {"source": mapped(forms.anything, 1000), "load": record({}, LOAD), "command": text()}
RECIPES = ("render", "dream")
"""The commands whose images can be made again from their metadata."""
_PLAN: Mapping[str, Form] = {
    "format": whole(Range(FORMAT, FORMAT)),
    "recipe": choice(*RECIPES),
    "batch": listed(_PART, least=1),
    "targets": listed(_PART, least=1),
    "labels": listed(optional(_NAME), least=1),
    "items": listed(whole(_NATURAL), least=1),
    "settings": SETTINGS,
    "restarts": listed(row(_PART, whole(_NATURAL), flag), most=1000),
    "init": optional(record({"path": _PATH, "sha256": _DIGEST, "size": _PAIR})),
    "inputs": mapped(_DIGEST),
    "net": _NET,
}
_OF_PLAN: Mapping[str, Form] = {
    "batches": listed(listed(whole(_NATURAL), least=1), least=1),
    "project_every_step": flag,
    "evaluations": listed(whole(_NATURAL), most=1000),
    "restarts_every_stage": flag,
}
_PLAN_1: Mapping[str, Form] = {
    "format": whole(Range(1, 1)),
    "recipe": choice("render"),
    "batch": listed(_PART, least=1),
    "items": listed(whole(_NATURAL), least=1),
    "settings": SETTINGS_1,
    "net": _NET,
    "place_in_batch": whole(_NATURAL),
    "target": _PART,
}
_RESULT: Mapping[str, Form] = {
    "target": _PART,
    "label": optional(_NAME),
    "item": whole(_NATURAL),
    "place_in_batch": whole(_NATURAL),
    "plan": _DIGEST,
    "dreamopt": _NAME,
    "value": optional(number()),
    "interrupted": flag,
    "dead": optional(_PART),
    "made_with": mapped(forms.anything, 100),
    **_PROVENANCE,
}
_FORMS = {1: record(_PLAN_1, _RESULT, rest="dropped"), 2: record(_PLAN, {**_OF_PLAN, **_RESULT}, rest="dropped")}
KEPT_TILES = {name: optional(number(_BYTES)) for name in ("memory", "tile_memory")}
"""Keys of a job's file: see `dreamopt.recipes.kept_tiles`."""
_JOB = record(
    {"key": _DIGEST, "plan": record(_PLAN, _OF_PLAN), "images": listed(_PATH, least=1)},
    KEPT_TILES,
    rest="dropped",
)


def checked_metadata(metadata: Any, what: str = "the metadata") -> dict[str, Any]:
    """Return what an image's metadata says of its plan, every key checked; what nothing reads is left out.

    Parameters
    ----------
    metadata : mapping
        As `dreamopt.image.files.read_metadata` gives it, or as this function returned it.
    what : str
        Names it in the error.

    Raises
    ------
    UsageError
        Naming the first key that is missing or does not fit.
    """
    key = Key(what)
    number_of = metadata.get("format") if isinstance(metadata, Mapping) else None
    if isinstance(number_of, bool) or number_of not in (1, FORMAT):
        raise UsageError(f"{key.at('format')} must be 1 or {FORMAT}, which dreamopt {__version__} reads, not {number_of!r}")
    checked: dict[str, Any] = _FORMS[number_of](metadata, key)
    lists = ("batch", "items") if number_of == 1 else ("batch", "targets", "labels", "items")
    same_length({name: checked[name] for name in lists}, key)
    count = len(checked["batch"])
    _check_places([checked["place_in_batch"]] if "place_in_batch" in checked else [], count, lambda _: key.at("place_in_batch"))
    _check_batches(checked, key)
    if number_of == FORMAT:
        _check_init(checked, key)
    return checked


def checked_image(metadata: Any, what: str = "the image") -> dict[str, Any]:
    """Return the checked metadata of one image that can be made again.

    Raises
    ------
    UsageError
        For a contact sheet, metadata of something else or of a later version, and as by `checked_metadata`.
    """
    check_kind(f"the metadata of {what}", metadata, Mapping, "a mapping")
    recipe, number_of = (metadata.get(name) for name in ("recipe", "format"))
    if recipe == "sheet":
        raise UsageError(f"{what} is a contact sheet; replay one of the images in the folder beside it, or run its command again")
    if recipe == "film":
        raise UsageError(f"{what} is a frame of a film; run the film's command again, which is in its metadata")
    if recipe == "attribution":
        raise UsageError(f"{what} is an attribution; run the command in its metadata again")
    if recipe not in RECIPES or "batch" not in metadata or "settings" not in metadata:
        raise UsageError(f"{what} was not made by dreamopt render, or by a version that did not write down enough to make it again")
    if isinstance(number_of, int) and not isinstance(number_of, bool) and number_of > FORMAT:
        version = metadata.get("dreamopt", "a later version")
        raise UsageError(f"{what} was made by dreamopt {version}, which writes more than this version, {__version__}, can read")
    checked = checked_metadata(metadata, f"the metadata of {what}")
    if "place_in_batch" not in checked:
        raise UsageError(f"place_in_batch in the metadata of {what} is missing")
    return checked


def checked_result(metadata: Any, what: str, error: type[DreamoptError]) -> dict[str, Any]:
    """Return what a finished image's metadata says of its making: whose it is, and its value.

    Raises
    ------
    DreamoptError
        Of the type ``error``.
    """
    needed = ("plan", "target", "item", "interrupted", "value", "dead")
    required = {name: _RESULT[name] for name in needed}
    checked: dict[str, Any] = record(required, rest="kept")(metadata, Key(what, error=error))
    return checked


def checked_job(job: Any, what: str) -> dict[str, Any]:
    """Return what the file of a job's folder says: the plan's key, the plan, and the names of its images.

    Raises
    ------
    UsageError
        As by `checked_metadata`.
    """
    checked: dict[str, Any] = _JOB(job, Key(what))
    return checked


def _check_places(places: list[int], count: int, key: Callable[[int], Key]) -> None:
    for index, place in enumerate(places):
        if place >= count:
            raise UsageError(f"{key(index)} must be below {count}, the number of samples, not {place}")


def _check_batches(checked: Mapping[str, Any], key: Key) -> None:
    count, batches = len(checked["batch"]), checked.get("batches", [])
    for index, places in enumerate(batches):
        _check_places(places, count, key.at("batches").at(index).at)
    if batches and sorted(place for places in batches for place in places) != list(range(count)):
        raise UsageError(f"{key.at('batches')} must hold the place of each of {count} samples once")


def _check_init(checked: Mapping[str, Any], key: Key) -> None:
    path = None if checked["init"] is None else checked["init"]["path"]
    if path != checked["settings"]["init"]:
        raise UsageError(f"{key.at('init').at('path')} is {path!r}, but settings.init is {checked['settings']['init']!r}")
