"""A file's words: built-in parts and what the process registered; plugins and paths only as the user says, however deep they stand."""

from __future__ import annotations

import contextlib
import dataclasses
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from dreamopt.__main__ import installed_first
from dreamopt.errors import DreamoptError, ObjectiveError, TrustError, UsageError
from dreamopt.image.parametrization import parametrizations, parse_parametrization
from dreamopt.image.transform import transforms
from dreamopt.objective import Objective, objectives, parse
from dreamopt.optimize.optimizer import optimizers, parse_optimizer
from dreamopt.parts.calls import parse_part
from dreamopt.parts.part import input_paths, is_path
from dreamopt.parts.registry import Registry
from dreamopt.parts.trust import PLUGINS, permitted_plugins, words_of_file
from dreamopt.regularizer import parse_regularizer, regularizers
from dreamopt.testing.bench import bench, fill

REGISTRIES: tuple[Registry[object], ...] = (objectives, regularizers, optimizers, parametrizations, transforms)  # type: ignore[assignment]


@dataclasses.dataclass(frozen=True)
class Own(Objective):
    layer: str

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)

    def value(self, activations):  # type: ignore[no-untyped-def]
        return activations[self.layer].flatten(1).mean(1)


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An installed plugin; the list is what was imported."""
    imported: list[str] = []

    class Point(EntryPoint):
        def load(self) -> object:
            imported.append(self.name)
            return Own

    monkeypatch.setattr(objectives, "_points", lambda: (Point("guest", "guests:Own", "dreamopt.objectives"),))
    monkeypatch.setattr(objectives, "_found", {})
    return imported


def test_a_plugin_that_a_file_names_is_imported_if_the_user_allows_it(guest: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with words_of_file("the metadata of a.png") as words:
        for text in ('guest("conv")', 'Guest("conv")', '2*(conv:1 + 0.5*guest("conv"))'):
            with pytest.raises(ObjectiveError, match=r"^the metadata of a\.png names the objective 'guest' of .* --plugin guest"):
                parse(text)
        assert list(words.refused) == ["guest"]
    assert guest == []
    with words_of_file("the metadata of a.png", plugins=["guest"]):
        parse('guest("conv")')
    assert guest == ["guest"]
    # Also one that is imported already: what a file may do does not depend on what came before.
    with words_of_file("the metadata of a.png"), pytest.raises(ObjectiveError, match="--plugin guest"):
        parse('guest("conv")')
    monkeypatch.setenv(PLUGINS, "other, guest,")
    assert permitted_plugins(["mine"]) == {"mine", "other", "guest"}
    with words_of_file("the metadata of a.png"):
        parse('guest("conv")')
    parse('guest("conv")')  # the user's own words


def test_what_the_process_registered_is_usable(guest: list[str]) -> None:
    with objectives.registered(Own), words_of_file("a file"):
        assert parse('own("conv")') == Own("conv")
    assert guest == []


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (parse, 'Inversion("conv", "p")'),
        (parse, 'Guide(layer="conv", image=("p", "q"))'),
        (parse, '-2*(conv:1 + Energy("conv", weights="p"))'),
        (parse_parametrization, 'maco(pictures="p")'),
        (parse_parametrization, 'alpha(pixels(init="p"))'),
        (parse_parametrization, 'generator("p", "q", upper="r")'),
        (parse_regularizer, 'stencil("p")'),
    ],
)
def test_a_path_is_the_users_wherever_it_stands(read, text: str) -> None:  # type: ignore[no-untyped-def]
    asked: list[str] = []

    def find(path: str) -> str:
        asked.append(path)
        return "3" if path == "r" else f"here/{path}"

    with words_of_file("a file"), pytest.raises(TrustError, match="the path 'p' comes from a file's words"):
        read(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dreamopt.image.parametrizations.generator._numbers", lambda _: __import__("torch").tensor([3.0]))
        with words_of_file("a file", find=find):
            part = read(text)
    assert "p" in asked
    assert set(input_paths(part)) - {"3"} == {f"here/{path}" for path in asked if path != "r"}


NAMES = {"layer", "other_layer", "unit", "layers", "name", "method", "options"}
"""Fields that take any text, since it names a layer, a class or what another library has; whatever else takes a path must be marked."""


def test_every_field_that_takes_a_path_is_marked(tmp_path: Path) -> None:
    taken = set()
    for registry in REGISTRIES:
        for cls in registry.built_in():
            example = parse_part(fill(cls.examples[0], bench().values), registry)  # type: ignore[attr-defined]  # every part has examples
            for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # every part is a dataclass
                if field.init and not is_path(field):
                    with contextlib.suppress(DreamoptError, TypeError, ValueError):
                        dataclasses.replace(example, **{field.name: str(tmp_path / "a.png")})  # type: ignore[type-var]
                        taken.add(field.name)
    assert taken <= NAMES


def test_python_m_dreamopt_looks_where_packages_are_installed_first() -> None:
    for path, after in (
        (["", "/lib"], ["/lib", ""]),
        (["/here", "/lib"], ["/lib", "/here"]),
        (["/bin", "/lib"], ["/bin", "/lib"]),
        ([], []),
    ):
        installed_first(path, "/here")
        assert path == after


@pytest.mark.parametrize(
    "text", ["torch('sys')", "torch('Optimizer')", "torch('lr_scheduler')", "torch('__builtins__')", "scipy('minimize')"]
)
def test_names_of_other_libraries_choose_from_a_list(text: str) -> None:
    with pytest.raises(UsageError, match=r"has no (class|method)"):
        parse_optimizer(text)
