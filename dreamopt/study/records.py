"""What a study's files say, every key checked: rows, and the request; both may be anybody's, since rows of two machines are merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dreamopt.errors import UsageError
from dreamopt.parts import forms
from dreamopt.parts.checks import COUNT, LARGEST_COUNT, NOT_NEGATIVE, SIDE, Range
from dreamopt.parts.forms import Form, Key, choice, either, flag, listed, mapped, number, optional, record, row, same_length, text, whole
from dreamopt.parts.trust import words_of_file
from dreamopt.recipes.metadata import LOAD, settings_form
from dreamopt.recipes.settings import Settings
from dreamopt.study.axis import Axis
from dreamopt.study.budget import Budget
from dreamopt.study.request import Contestant, Request, StudyNet
from dreamopt.study.run import Row, Trace

_NATURAL = Range(0, LARGEST_COUNT)
_NAME, _WORDS = text(4096), text()


def _unchanged(form: Form) -> Form:
    """Return the form of a value that is checked, and stays as it is: 4 does not become 4.0."""

    def read(value: Any, key: Key) -> Any:
        form(value, key)
        return value

    return read


_VALUE = _unchanged(either(number(), text(4096)))
_TRIAL = mapped(_VALUE, 1000)
_PAIR = row(whole(SIDE), whole(SIDE))
_PHASE = choice("reference", "tune", "score")
NAMED: Mapping[str, Form] = {"phase": _PHASE, "net": _NAME, "contestant": _NAME, "trial": _TRIAL, "number": whole(_NATURAL)}
"""What of a row is not in its run's key."""
_TRACE = record(
    {
        "evaluations": listed(whole(_NATURAL)),
        "seconds": listed(number(NOT_NEGATIVE)),
        "values": listed(optional(number())),
    },
    rest="dropped",
)
_ROW = record(
    {
        "key": text(64, "[0-9a-f]{64}", "64 hexadecimal digits"),
        **NAMED,
        "unit": _WORDS,
        "seed": whole(Range(0, 2**64)),
        "status": choice("done", "failed"),
        "reason": _WORDS,
        "evaluations": whole(_NATURAL),
        "seconds": number(NOT_NEGATIVE),
        "steps": whole(_NATURAL),
        "measures": mapped(optional(number()), 1000),
        "features": mapped(listed(number(), most=1024), 1000),
        "trace": _TRACE,
        "label": optional(_NAME),
        "image": text(200, r"(images/[0-9a-f]{64}\.png)?", "a path in the folder images, or empty"),
        "machine": mapped(forms.anything, 100),
    },
    rest="dropped",
)
_SETTINGS = settings_form(optional(either(whole(SIDE), _PAIR)))
_AXIS = record({"name": _NAME}, {"low": number(), "high": number(), "log": flag, "whole": flag, "values": listed(_VALUE)})
_CONTESTANT = record({"name": _NAME, "settings": _SETTINGS, "axes": listed(_AXIS, most=100)}, {"says": mapped(forms.anything)})
_LOAD = record({}, {"net": optional(_NAME), **LOAD}, rest="dropped")
_DESCRIBED = mapped(forms.anything, 1000)
_ALSO = record({"name": _NAME, "load": _LOAD}, {"described": _DESCRIBED}, rest="dropped")
_NET = record(
    {
        "name": _NAME,
        "load": _LOAD,
        "net": _DESCRIBED,
        "units": listed(_WORDS),
        "tuning_units": listed(_WORDS),
        "size": _PAIR,
    },
    rest="dropped",
)
_REQUEST = record(
    {
        "title": _WORDS,
        "seeds": whole(COUNT),
        "seed": whole(Range(0, 2**64)),
        "trials": whole(COUNT),
        "tuning_seeds": whole(COUNT),
        "search": choice("grid", "random", "sequential"),
        "race": flag,
        "criterion": _NAME,
        "budget": _NAME,
        "nets": listed(_NET, least=1, most=1000),
        "contestants": listed(_CONTESTANT, least=1, most=1000),
        "reference": _CONTESTANT,
        "measures": listed(_NAME, most=1000),
        "also": listed(_ALSO, most=1000),
    },
    rest="dropped",
)


def read_row(described: Any, what: str) -> Row:
    """Return the row that `Row.describe` described.

    Raises
    ------
    UsageError
        Naming the first key that is missing or does not fit.
    """
    key = Key(what)
    checked: dict[str, Any] = _ROW(described, key)
    trace, at = checked["trace"], key.at("trace")
    same_length(trace, at)
    if any(after <= before for before, after in zip(trace["evaluations"], trace["evaluations"][1:], strict=False)):
        raise UsageError(f"{at.at('evaluations')} must rise")
    features = {name: tuple(vector) for name, vector in checked["features"].items()}
    return Row(**checked | {"features": features, "trace": Trace.read(trace)})


def checked_request(described: Any, what: str) -> dict[str, Any]:
    """Return what a file says of a request, every key checked; its parts are strings still."""
    checked: dict[str, Any] = _REQUEST(described, Key(what))
    return checked


def read_request(described: Any, what: str, plugins: Sequence[str] = ()) -> Request:
    """Return the request that `Request.describe` described.

    Parameters
    ----------
    described : mapping
        Of anybody: its words choose among built-in parts; no file that they name is opened.
    what : str
        Names it in errors.
    plugins : sequence of str
        Names of plugins that it may name (`dreamopt.parts.trust`).

    Raises
    ------
    UsageError
        Naming the first key that is missing or does not fit.
    """
    checked = checked_request(described, what)
    with words_of_file(what, plugins, str):
        contestants = tuple(map(_contestant, checked["contestants"]))
        reference = _contestant(checked["reference"])
    nets = tuple(
        StudyNet(net["name"], net["load"], net["net"], tuple(net["units"]), tuple(net["tuning_units"]), tuple(net["size"]))
        for net in checked["nets"]
    )
    own = {"nets": nets, "contestants": contestants, "reference": reference, "budget": Budget.read(checked["budget"])}
    return Request(**checked | own | {"measures": tuple(checked["measures"]), "also": tuple(checked["also"])})


def comparable(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a checked request decides its rows' meaning: on another machine a net may lie elsewhere."""

    def without(name: str, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [{key: value for key, value in entry.items() if key != name} for entry in entries]

    own = {name: without("load", request[name]) for name in ("nets", "also")}
    [reference], contestants = without("says", [request["reference"]]), without("says", request["contestants"])
    return {**request, **own, "contestants": contestants, "reference": reference}


def _contestant(described: Mapping[str, Any]) -> Contestant:
    axes = tuple(Axis(**axis | {"values": tuple(axis.get("values", ()))}) for axis in described["axes"])
    return Contestant(described["name"], Settings.read(described["settings"]), axes, described.get("says", {}))
