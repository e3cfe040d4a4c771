"""Every parameter of every public callable, given values of other kinds: taken right, or refused by a DreamoptError of one line."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dreamopt import load_net
from dreamopt.backends.torch_functions import FunctionBackend
from dreamopt.errors import DreamoptError, DreamoptWarning
from dreamopt.image.files import read_image, read_metadata, write_image
from dreamopt.image.parametrization import parametrizations
from dreamopt.image.transform import transforms
from dreamopt.network import Network
from dreamopt.objective import objectives
from dreamopt.optimize import Patience, Restart, run
from dreamopt.optimize.optimizer import optimizers
from dreamopt.problem import Problem
from dreamopt.recipes import Settings, dream, plan_dream, plan_render, render
from dreamopt.recipes.preset import resolve_settings
from dreamopt.recipes.replay import replay
from dreamopt.recipes.settings import StageSettings
from dreamopt.regularizer import regularizers

ODD: dict[str, object] = {
    "nan": math.nan,
    "inf": math.inf,
    "-1": -1,
    "0": 0,
    "1.5": 1.5,
    "huge": 10**400,
    "True": True,
    "None": None,
    "'no'": "no",
    "''": "",
    "bytes": b"no",
    "[]": [],
    "[None]": [None],
    "{}": {},
    "{1: 2}": {1: 2},
    "object": object(),
    "type": int,
    "nan array": np.array([math.nan, 1]),
    "int64": np.int64(2),
    "float32": np.float32(0.5),
    "tensor": torch.tensor(2.5),
    "long text": "9" * 5000,
}

SMALL = """
input: "data" input_shape { dim: 1 dim: 3 dim: 4 dim: 5 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 1 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
"""


def network() -> Network:
    layers = [("conv", "Convolution", lambda x: x[:, :2] * 0.5), ("relu", "ReLU", torch.relu)]
    return Network(FunctionBackend(layers, (3, 8, 9)))


NETWORK = network()


def problem(**options: Any) -> Problem:
    return Problem(NETWORK, "conv:1", size=(8, 9), **options)


def _problem(**options: Any) -> Any:
    given = {"network": NETWORK, "objective": "conv:1", "size": (8, 9)} | options
    made = Problem(given.pop("network"), given.pop("objective"), **given)
    return made.evaluate(made.start())


def _load(**options: Any) -> Any:
    return load_net(**({"prototxt_or_name": "small.prototxt", "device": "cpu"} | options))


def _run(**options: Any) -> Any:
    given = {"problem": problem(), "steps": 1} | options
    return run(given.pop("problem"), **given)


def _render(**options: Any) -> Any:
    given = {"network": NETWORK, "targets": "conv:1", "settings": Settings(size=(8, 9), steps=1)} | options
    if given["settings"] is None:
        given |= {"steps": 1, "size": (8, 9)}
    return render(given.pop("network"), given.pop("targets"), **given)


PHOTO = np.arange(216, dtype=np.uint8).reshape(8, 9, 3)


def _dream(function: Callable[..., Any], **options: Any) -> Any:
    settings = resolve_settings("deepdream2015", {"octaves": 1, "steps": 1})
    return function(**({"network": NETWORK, "image": PHOTO, "targets": "conv:1", "settings": settings} | options))


def _plan(**options: Any) -> Any:
    given = {"network": NETWORK, "targets": "conv:1", "settings": Settings(size=(8, 9), steps=1)} | options
    return plan_render(given.pop("network"), given.pop("targets"), **given)


def _settings(**options: Any) -> Any:
    return plan_render(NETWORK, "conv:1", Settings(**({"size": (8, 9), "steps": 1} | options)))


def _stage(**options: Any) -> Any:
    settings = Settings(steps=1)
    given = {"steps": 1, "optimizer": settings.optimizer, "transforms": (), "regularizers": ()}
    return StageSettings(**(given | options))


METADATA: dict[str, Any] = {}


def _replay(**options: Any) -> Any:
    if not METADATA:
        METADATA.update(render(NETWORK, "conv:1", Settings(size=(8, 9), steps=1))[0].metadata)
    given = {"network": NETWORK, "metadata": METADATA} | options
    return replay(given.pop("network"), given.pop("metadata"), **given)


def _method(name: str, on: Callable[[], Any], **base: Any) -> Callable[..., Any]:
    return lambda **options: getattr(on(), name)(**(base | options))


CALLABLES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "load_net": (_load, load_net),
    "Problem": (_problem, Problem),
    "run": (_run, run),
    "render": (_render, render),
    "plan_render": (_plan, plan_render),
    "dream": (partial(_dream, dream), dream),
    "plan_dream": (partial(_dream, plan_dream), plan_dream),
    "Settings": (_settings, Settings),
    "StageSettings": (_stage, StageSettings),
    "replay": (_replay, replay),
    "Restart": (partial(lambda **o: Restart(**({"parametrization": problem().parametrization} | o))), Restart),
    "Patience": (lambda **o: Patience(**({"steps": 2} | o)), Patience),
    "Problem.x0": (_method("x0", problem), Problem.x0),
    "Problem.start": (_method("start", problem), Problem.start),
    "Problem.images": (_method("images", problem), Problem.images),
    "Problem.evaluate": (_method("evaluate", problem, params=problem().start()), Problem.evaluate),
    "Problem.value": (_method("value", problem, params=problem().start()), Problem.value),
    "Problem.check_start": (_method("check_start", problem, params=problem().start()), Problem.check_start),
    "Problem.select": (_method("select", problem, places=[0]), Problem.select),
    "Problem.__call__": (_method("__call__", problem, params=problem().x0()), Problem.__call__),
    "Network.activations": (_method("activations", network, x=torch.zeros(1, 3, 8, 9), layers=["conv"]), Network.activations),
    "Network.shape_of": (_method("shape_of", network, layer="conv"), Network.shape_of),
    "Network.item_shape": (_method("item_shape", network), Network.item_shape),
    "Network.image_space": (_method("image_space", network), Network.image_space),
    "Network.bounds_at": (_method("bounds_at", network, size=None), Network.bounds_at),
    "Network.resolve": (_method("resolve", network), Network.resolve),
    "Network.find_label": (_method("find_label", network), Network.find_label),
    "Network.to_rgb": (_method("to_rgb", network, x=torch.zeros(1, 3, 8, 9)), Network.to_rgb),
    "Network.from_rgb": (_method("from_rgb", network, picture=np.zeros((8, 9, 3))), Network.from_rgb),
    "Network.activations_of": (
        _method("activations_of", network, image=np.zeros((8, 9, 3), np.uint8), layers=["conv"]),
        Network.activations_of,
    ),
}
# Of these what is given is called, or stored for what is called: any object may do.
OPAQUE = {
    ("render", "callbacks"), ("render", "stop"), ("render", "store"), ("render", "provenance"), ("render", "network"),
    ("replay", "callbacks"), ("replay", "stop"), ("replay", "network"), ("run", "callbacks"), ("run", "problem"),
    ("Problem", "network"), ("plan_render", "network"), ("plan_dream", "network"),
    ("dream", "callbacks"), ("dream", "stop"), ("dream", "store"), ("dream", "provenance"), ("dream", "network"),
}  # fmt: skip


def parameters(function: Callable[..., Any]) -> Iterator[str]:
    for name, parameter in inspect.signature(function).parameters.items():
        if name != "self" and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            yield name


CASES = [
    pytest.param(name, parameter, id=f"{name}-{parameter}")
    for name, (_, function) in CALLABLES.items()
    for parameter in parameters(function)
    if (name, parameter) not in OPAQUE
]


def misfits(what: str, problem: Exception) -> list[str]:
    """Return what is wrong with the answer to a value: an error of another kind than dreamopt's, or one of several lines."""
    if not isinstance(problem, DreamoptError):
        return [f"{what}: {type(problem).__name__}: {problem}"]
    return [f"{what}: a message of several lines: {problem}"] if "\n" in str(problem) else []


@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_a_value_of_another_kind_is_taken_or_refused(name: str, parameter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.prototxt").write_text(SMALL)
    call = CALLABLES[name][0]
    wrong = []
    for what, value in ODD.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DreamoptWarning)
                call(**{parameter: value})
        except Exception as problem:
            wrong += misfits(what, problem)
    assert not wrong, f"{name}({parameter}=...):\n  " + "\n  ".join(wrong)


PARTS = {
    "objective": objectives,
    "regularizer": regularizers,
    "transform": transforms,
    "parametrization": parametrizations,
    "optimizer": optimizers,
}


def part_cases() -> Iterator[Any]:
    for kind, registry in PARTS.items():
        for name in registry.names():
            yield pytest.param(kind, name, id=f"{kind}-{name}")


@pytest.mark.parametrize(("kind", "name"), list(part_cases()))
def test_a_parts_parameters(kind: str, name: str) -> None:
    entry = PARTS[kind].get(name)
    wrong = []
    for parameter in parameters(entry.make):
        for what, value in ODD.items():
            required = {
                key: _plausible(key) for key, p in inspect.signature(entry.make).parameters.items()
                if p.default is p.empty and key != parameter and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
            }  # fmt: skip
            try:
                str(entry.make(**required, **{parameter: value}))
            except Exception as problem:
                wrong += misfits(f"{parameter}={what}", problem)
    assert not wrong, f"{kind} {name}:\n  " + "\n  ".join(wrong)


def _plausible(parameter: str) -> Any:
    known = {"layer": "conv", "unit": 1, "weight": 0.1, "vector": (1.0, 2.0), "places": ((1, 2),), "mask": ((0.0, 1.0),)}
    return known.get(parameter, 1)


def test_what_is_right_is_taken() -> None:
    settings = Settings(size=np.int64(32), steps=np.float64(3.0), transparency=np.bool_(True))  # type: ignore[arg-type]  # numpy's
    assert (settings.size, settings.steps, settings.transparency) == (32, 3, True)
    assert Settings(size=np.array([32, 48])).size == (32, 48)  # type: ignore[arg-type]  # numpy's
    assert NETWORK.item_shape(np.array([8, 9])) == (3, 8, 9)  # type: ignore[arg-type]  # numpy's
    assert Problem(NETWORK, "conv:1", size=np.int64(8)).size == (8, 8)  # type: ignore[arg-type]  # numpy's
    assert len(plan_render(NETWORK, "conv:1", Settings(size=8, steps=1), variants=np.int64(2)).samples) == 2  # type: ignore[arg-type]
    assert run(problem(), steps=np.int64(1), seed=np.int64(3)).steps == 1  # type: ignore[arg-type]  # numpy's
    assert problem().x0(np.int64(3)).tolist() == problem().x0(3).tolist()  # type: ignore[arg-type]  # numpy's


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: plan_render(NETWORK, "conv:1", variants=0), "variants must be a whole number of at least 1, not 0"),
        (lambda: Settings(steps=1.5), "steps must be a whole number of at least 1, not 1.5"),  # type: ignore[arg-type]
        (lambda: load_net(mean=math.nan), "mean holds values that are not finite"),
        (lambda: Settings(transparency="no"), "transparency of Settings must be True or False, not 'no'"),  # type: ignore[arg-type]
        (lambda: run(problem(), transparency="no"), "transparency must be True or False, not 'no'"),  # type: ignore[arg-type]
        (lambda: load_net(stages="deploy"), "stages must be a sequence of names, not 'deploy'"),
        (lambda: NETWORK.activations(torch.zeros(1, 3, 8, 9), "conv"), "layers must be a sequence of names, not 'conv'"),
        (lambda: problem().evaluate(torch.zeros(2, 3, 8, 9)), r"of shape \(2, 3, 8, 9\) and type torch.float32, but the problem's are"),
        (lambda: run(problem(), optimizer="adam"), "optimizer must be one of dreamopt.optimize's optimizers, not 'adam'"),  # type: ignore[arg-type]
        (lambda: Settings(init=np.zeros((32, 31, 3))), r"init must be the path of an image, not \[\[\[0. 0. 0.\][^=]{,80}\.\.\.$"),  # type: ignore[arg-type]
        (lambda: load_net(mean={"B": 104}), r"the mean must be a number, .*, not \{'B': 104\}$"),  # type: ignore[arg-type]
        (lambda: load_net(backend="remote", python=[1]), r"python must be a sequence of words of a command, not \[1\]"),  # type: ignore[list-item]
        (lambda: read_image(5), "path must be a path, not 5"),  # type: ignore[arg-type]
        (lambda: read_image("a.png", size=(0, 1)), "size must be a whole number of at least 1, not 0"),
        (lambda: read_image("a.png", size=(4, 5, 6)), r"size must be \(height, width\), not \(4, 5, 6\)"),
        (lambda: read_metadata(5), "path must be a path, not 5"),  # type: ignore[arg-type]
        (lambda: write_image("a.png", "x"), "image must be an array, not 'x'"),  # type: ignore[arg-type]
    ],
)
def test_what_is_wrong_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(DreamoptError, match=message):
        make()
