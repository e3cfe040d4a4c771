"""Addresses of layers: no two names have one, and each leads back to its name."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamopt.atlas.slug import slug, unslug
from dreamopt.errors import UsageError

# Names that are nearly alike: what is escaped, beside what it is escaped to.
_CLOSE = st.text(alphabet="a-/~.2d_é", max_size=8)
_ANY = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=20)


@given(_CLOSE | _ANY)
def test_an_address_leads_back_to_its_name(name: str) -> None:
    address = slug(name)
    assert unslug(address) == name  # which makes it injective
    assert re.fullmatch(r"[A-Za-z0-9_.~-]+", address)
    assert not address.startswith(".")


@given(st.text(alphabet="a-~.2d/", max_size=8))
def test_what_is_no_address_is_refused(text: str) -> None:
    try:
        name = unslug(text)
    except UsageError:
        return
    assert slug(name) == text


@pytest.mark.parametrize(
    ("name", "address"),
    [("conv1", "conv1"), ("inception_4c/output", "inception_4c--output"), ("..", "~2e."), ("a--b", "a~2d~2db"), ("", "~")],
)
def test_addresses_are_as_described(name: str, address: str) -> None:
    assert slug(name) == address


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(UsageError, match="no text"):
        slug("\ud800")
