"""What opens the net of an atlas in any process, by the hashes of its files, which are brought where they are missing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from dreamopt import models
from dreamopt.atlas.task import content_key
from dreamopt.errors import UsageError
from dreamopt.models.cache import cache_folder
from dreamopt.network import Network
from dreamopt.network.opening import open_network
from dreamopt.parts.atomic import atomic_write
from dreamopt.parts.net_words import NET_KEYS
from dreamopt.parts.part import file_sha256
from dreamopt.parts.reading import read_bytes

_CHOICES = {"device": "auto", "backend": "auto"}
_PATHS = ("net", "weights", "mean", "labels")
_OPEN: dict[str, Network] = {}
"""The nets of this process, by `NetFiles.identity`."""


@dataclass(frozen=True)
class NetFile:
    """A file of the net: an option that names it, its path where the atlas was begun, and its sha256."""

    option: str
    path: str
    sha256: str


@dataclass(frozen=True)
class NetFiles:
    """How the net is loaded; fit for pickle, which leaves the net itself and ``fetch`` behind.

    Parameters
    ----------
    words : mapping
        As of `dreamopt.network.opening.open_network`: ``net`` and `dreamopt.parts.net_words.NET_KEYS`; empty where nobody knows them, and
        the net is in this process alone.
    files : tuple of NetFile
        The files that the words name.
    weights_sha256 : str
        Of the net's weights as the atlas was begun, `Network.hash`.
    size : (int, int) or None
        (H, W) of an input that the net's file leaves open.
    allow_python_layers : bool
        Whether modules that Python layers name are imported.
    folder : str
        Of files that were brought; by default ``nets`` in the cache.
    fetch : callable, optional
        Gives the content of the file of a sha256.
    """

    words: Mapping[str, Any]
    files: tuple[NetFile, ...] = ()
    weights_sha256: str = ""
    size: tuple[int, int] | None = None
    allow_python_layers: bool = False
    folder: str = ""
    fetch: Callable[[str], bytes] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        network: Network,
        words: Mapping[str, Any] | None = None,
        size: tuple[int, int] | None = None,
        allow_python_layers: bool = False,
    ) -> Self:
        """Return the files of a net that is loaded, and keep it for this process."""
        words = {} if words is None else _explicit(network, words)
        paths = {option: words[option] for option in _PATHS if isinstance(words.get(option), str) and os.path.isfile(words[option])}
        files = tuple(NetFile(option, path, file_sha256(path)) for option, path in paths.items())
        found = cls(words, files, network.hash(), size, allow_python_layers)
        _OPEN[found.identity] = network
        return found

    @property
    def identity(self) -> str:
        """A hash of what is loaded and how, wherever its files are."""
        named = {file.option: file.sha256 for file in self.files}
        words = {name: named.get(name, value) for name, value in self.words.items() if name != "cache"}
        size = None if self.size is None else list(self.size)
        return content_key(words=words, weights=self.weights_sha256, size=size, python=self.allow_python_layers)

    @property
    def travels(self) -> bool:
        """Whether another process can open it."""
        return bool(self.words)

    def network(self) -> Network:
        """Return the net, loaded once in a process.

        Raises
        ------
        UsageError
            Where a file is missing, or the weights are not those that the atlas was begun with.
        """
        if self.identity not in _OPEN:
            if not self.travels:
                raise UsageError("the net was made in another process, and nobody said how to load it: give its words (load=...)")
            paths = {file.option: self.local(file) for file in self.files}
            said = {key: paths.get(key, self.words.get(key)) for key in NET_KEYS}
            said |= {key: said[key] or value for key, value in _CHOICES.items()}
            net = paths.get("net", self.words.get("net"))
            network, _, _ = open_network(net, self.size, **said, allow_python_layers=self.allow_python_layers)
            if network.hash() != self.weights_sha256:
                raise UsageError("the weights of the net are not those that the atlas was begun with: their hashes differ")
            _OPEN[self.identity] = network
        return _OPEN[self.identity]

    def local(self, file: NetFile) -> str:
        """Return the path of a file on this machine: its own where it is there and the same; else what was brought."""
        if os.path.isfile(file.path) and file_sha256(file.path) == file.sha256:
            return file.path
        folder = cache_folder() / "nets" if not self.folder else Path(self.folder)
        path = folder / file.sha256 / os.path.basename(file.path)
        if not (path.is_file() and file_sha256(path) == file.sha256):
            if self.fetch is None:
                raise UsageError(f"the net's file {file.path} is not here, or has changed since the atlas was begun")
            content = self.fetch(file.sha256)
            if hashlib.sha256(content).hexdigest() != file.sha256:
                raise UsageError(f"what was brought of the net's file {file.path} is not that file: their hashes differ")
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as stream:
                stream.write(content)
        return str(path)

    def content(self, sha256: str) -> bytes:
        """Return the content of one of the files, for a machine that lacks it."""
        for file in self.files:
            if file.sha256 == sha256:
                return read_bytes(self.local(file), "the net's file", UsageError)
        raise UsageError(f"the net has no file of the sha256 {sha256}")

    def fetching(self, fetch: Callable[[str], bytes], folder: str = "") -> NetFiles:
        """Return the same with what brings files that are missing here, and the folder they go to."""
        return replace(self, fetch=fetch, folder=folder or self.folder)

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (dict(self.words), self.files, self.weights_sha256, self.size, self.allow_python_layers, self.folder)
        return type(self), fields


def _explicit(network: Network, words: Mapping[str, Any]) -> dict[str, Any]:
    """Return words that say what the catalogue says of a model by its name, so that a machine without it can load the net."""
    words = dict(words)
    found = models.locate(words.get("net"), words.get("cache"))
    if found.prototxt is None or found.prototxt == words.get("net"):
        return words
    for key, value in (("weights", found.weights), ("labels", found.labels)):
        words[key] = value if words.get(key) is None else words[key]
    sources = {} if network.preprocessing is None else network.preprocessing.sources
    for key in ("mean", "scale", "channel_order"):
        value = getattr(found, key)
        if words.get(key) is None and value is not None and sources.get(key) == "catalogue":
            words[key] = ",".join(map(str, value)) if key == "mean" and not isinstance(value, int | float | str) else value
    return words | {"net": found.prototxt}
