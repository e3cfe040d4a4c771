"""The nets of a study, each loaded once in a process, by the words that name it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from dreamopt.errors import UsageError
from dreamopt.network import Network
from dreamopt.network.opening import open_network
from dreamopt.parts.net_words import NET_KEYS
from dreamopt.study.request import Request

_CHOICES = {"device": "auto", "backend": "auto"}


@dataclass(frozen=True)
class NetWords:
    """How a net is loaded.

    Parameters
    ----------
    load : mapping
        As of `dreamopt.study.request.StudyNet`.
    sha256 : str
        Of its weights, as the study began.
    size : (int, int) or None
        (H, W) of an input that the net's file leaves open.
    """

    load: Mapping[str, Any]
    sha256: str = ""
    size: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class StudyNetworks:
    """The nets of a study; they are loaded where they are first asked for, and not sent to another process.

    Parameters
    ----------
    words : mapping of str to NetWords
        By name; what other nets measure, among them.
    allow_python_layers : bool
        Whether modules that Python layers name are imported.
    """

    words: Mapping[str, NetWords]
    allow_python_layers: bool = False
    _open: dict[str, tuple[Network, Mapping[str, Any]]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, request: Request, allow_python_layers: bool = False) -> Self:
        """Return the nets of a request."""
        words = {net.name: NetWords(net.load, net.described.get("weights_sha256", ""), net.size) for net in request.nets}
        also = {net["name"]: NetWords(net["load"], net.get("described", {}).get("weights_sha256", "")) for net in request.also}
        return cls(also | words, allow_python_layers)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self.words), self.allow_python_layers)

    def add(self, name: str, network: Network) -> None:
        """Take a net that is loaded already."""
        self._open[name] = network, {}

    def network(self, name: str) -> Network:
        """Return a net.

        Raises
        ------
        UsageError
            For a name that the study does not have, and for weights that have changed since it began.
        """
        return self._opened(name)[0]

    def provenance(self, name: str) -> dict[str, Any]:
        """Return what images' metadata say of where a net came from."""
        load = dict(self.words[name].load)
        return {"source": dict(self._opened(name)[1]), "load": {key: load.get(key) for key in ("net", *NET_KEYS)}}

    def others(self, names: Sequence[str]) -> dict[str, Network]:
        """Return several nets by name."""
        return {name: self.network(name) for name in names}

    def _opened(self, name: str) -> tuple[Network, Mapping[str, Any]]:
        if name not in self._open:
            if name not in self.words:
                raise UsageError(f"the study has no net '{name}'; there are {', '.join(sorted(self.words))}")
            self._open[name] = self._loaded(name, self.words[name])
        return self._open[name]

    def _loaded(self, name: str, words: NetWords) -> tuple[Network, Mapping[str, Any]]:
        said = {key: words.load.get(key) for key in NET_KEYS}
        said |= {key: said[key] or value for key, value in _CHOICES.items()}
        network, _, source = open_network(words.load.get("net"), words.size, **said, allow_python_layers=self.allow_python_layers)
        if words.sha256 and network.hash() != words.sha256:
            raise UsageError(f"the weights of the net '{name}' are not those that the study began with: their hashes differ")
        return network, source
