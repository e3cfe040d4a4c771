"""Every part of every kind does what its kind promises, with every example of it: a new part joins by its file."""

import pytest

from dreamopt.testing import Case, cases, registries


@pytest.mark.parametrize("case", [pytest.param(case, id=str(case)) for case in cases()])
def test_part(case: Case) -> None:
    case.run()


def test_every_registry_has_parts() -> None:
    assert all(registry.names() for registry in registries().values())
