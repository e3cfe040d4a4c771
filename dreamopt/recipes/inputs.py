"""The files that a job reads, by sha256: what tells a replay or a resumed job that an input has changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from dreamopt import models
from dreamopt.errors import DreamoptError, UsageError
from dreamopt.parts.part import file_sha256


def hashes(names: Iterable[str]) -> dict[str, str]:
    """Return path to sha256 of every file that these names stand for: files, all files of a folder, or a model of the catalogue.

    What cannot be read is left out: its reader says why.
    """
    digests: dict[str, str] = {}
    for name in names:
        for path in _paths(name):
            if path not in digests:
                try:
                    digests[path] = file_sha256(path)
                except UsageError:
                    continue
    return digests


def changed_inputs(inputs: Mapping[str, str]) -> list[str]:
    """Return one phrase for each file that is not what it was, or not there any more."""
    now = hashes(inputs)
    return [
        f"{path} has changed" if path in now else f"{path} cannot be read" for path, digest in inputs.items() if now.get(path) != digest
    ]


def _paths(name: str) -> Iterator[str]:
    if os.path.isdir(name):
        yield from sorted(entry.path for entry in os.scandir(name) if entry.is_file())
    elif os.path.exists(name) or os.sep in name or "." in name:
        yield name
    else:
        try:
            model = models.locate(name)
        except DreamoptError:
            return
        yield from (os.fspath(path) for path in (model.prototxt, model.weights) if path is not None)
