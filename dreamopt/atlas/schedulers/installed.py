"""Whether what is installed on a cluster can give the same images as here, and all its workers the same as each other."""

from __future__ import annotations

from collections.abc import Mapping

from dreamopt.atlas.schedulers.at_work import versions
from dreamopt.errors import BackendError
from dreamopt.parts.sentences import listed

_SHOWN = 3


def check_installed(nodes: Mapping[str, Mapping[str, str]]) -> None:
    """Raise a BackendError where a node differs.

    Python (its first two numbers) and dreamopt are the same as here, since functions and records go by their names; torch is the same on
    all workers, since its version decides the last bits.

    Parameters
    ----------
    nodes : mapping
        By what a sentence calls it, the versions of ``Python``, ``dreamopt`` and ``torch`` there; "" for what is not installed.

    Examples
    --------
    >>> check_installed({"the worker tcp://10.0.0.2:4000": {**versions(), "dreamopt": "", "torch": "2.13.0"}})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    dreamopt.errors.BackendError: the worker tcp://10.0.0.2:4000 has no dreamopt, and here it is ...: install the same there
    """
    for name, here in versions().items():
        others = {node: found[name] for node, found in nodes.items() if _public(found[name], name) != here}
        if others:
            first, version = next(iter(others.items()))
            more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
            there = f"{name} {version}" if version else f"no {name}"
            raise BackendError(f"{first}{more} has {there}, and here it is {here}: install the same there")
    torches: dict[str, list[str]] = {}
    for node, found in nodes.items():
        if node.startswith("the worker"):
            torches.setdefault(_public(found["torch"], "torch"), []).append(node)
    if len(torches) > 1:
        kinds = listed([f"{version or 'no torch'} ({nodes[0]})" for version, nodes in list(torches.items())[:_SHOWN]])
        raise BackendError(f"the workers have different versions of torch, {kinds}, which give different bits: install one on all")


def _public(version: str, name: str) -> str:
    """Return a version as far as it matters: of Python two numbers, of others all but what follows a plus sign."""
    return ".".join(version.split(".")[:2]) if name == "Python" else version.partition("+")[0]
