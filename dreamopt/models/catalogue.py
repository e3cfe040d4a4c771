"""The catalogue of public Caffe models, read from ``models.toml`` beside this file."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from dreamopt.errors import ModelError, suggest
from dreamopt.models.names import check_name
from dreamopt.models.table import Table
from dreamopt.parts.reading import parse_toml, read_text

CHECKSUMS = {"sha256": 64, "sha384": 96, "sha1": 40}
"""Algorithms, with the hexadecimal digits of each."""
ROLES = ("prototxt", "weights", "mean_file")
ORDERS = ("BGR", "RGB")


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be fetched.

    Parameters
    ----------
    name : str
        The file's name in the cache.
    urls : tuple of str
        Addresses of the same bytes, tried in this order.
    checksums : mapping of str to str
        Published hex digests by algorithm ("sha256", "sha384", "sha1"); empty when nobody published one.
    size : int or None
        Published size in bytes.
    member : str or None
        The file's name inside the zip archive that the addresses lead to; None when they lead to the file itself.
    archive_size : int or None
        Published size of that archive in bytes.
    archive_checksums : mapping of str to str
        Published hex digests of that archive, which are compared before it is unpacked.

    Raises
    ------
    ModelError
        For a name that is no plain file's name, as `dreamopt.models.names.check_name` has it.
    """

    name: str
    urls: tuple[str, ...]
    checksums: Mapping[str, str]
    size: int | None = None
    member: str | None = None
    archive_size: int | None = None
    archive_checksums: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name, "the file's name")


@dataclass(frozen=True)
class Model:
    """What is publicly known about one Caffe model; None or an empty tuple means unknown.

    Parameters
    ----------
    name : str
        The name to ask for it by.
    title, home : str
        What it is, and the page it comes from.
    licence : str or None
        As its page states it.
    input : tuple of int
        (C, H, W) of the input blob, or (C,) for a generator.
    mean : tuple of float or None
        Per channel, 0-255, in the net's channel order.
    scale : float
        Factor after the mean is subtracted.
    channel_order : str
        "BGR" or "RGB".
    layers : tuple of str
        Layers worth seeing, from low to high.
    facts : tuple of str
        Where each fact was read.
    files : mapping of str to RemoteFile
        By role: "prototxt", "weights", "labels", "mean_file".

    Raises
    ------
    ModelError
        For a name that cannot be a folder's, and for two files of one name.
    """

    name: str
    title: str
    home: str
    licence: str | None
    input: tuple[int, ...]
    mean: tuple[float, ...] | None
    scale: float
    channel_order: str
    layers: tuple[str, ...]
    facts: tuple[str, ...]
    files: Mapping[str, RemoteFile]

    def __post_init__(self) -> None:
        check_name(self.name, "the model's name")
        names = [remote.name.lower() for remote in self.files.values()]
        for role, remote in self.files.items():
            if names.count(remote.name.lower()) > 1:
                raise ModelError(f"the model {self.name} has two files named {remote.name!r}, as its {role} and as another")

    @property
    def complete(self) -> bool:
        """Whether addresses of both the prototxt and the weights are known."""
        return "prototxt" in self.files and "weights" in self.files


class Catalogue(Mapping[str, Model]):
    """The known models by name; asking for an unknown one raises `ModelError` with the nearest names."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = dict(models)

    def __getitem__(self, name: str) -> Model:
        model = self._models.get(name) or self._models.get(name.lower().replace("-", "_"))
        if model is None:
            hint = suggest(name, self._models) or "`dreamopt models` lists those it knows."
            raise ModelError(f"the catalogue has no model named {name!r}; {hint}")
        return model

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._models or name.lower().replace("-", "_") in self._models)

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)


def _file(table: Table) -> RemoteFile:
    return RemoteFile(
        name=table.text("name"),
        urls=table.texts("urls"),
        checksums=_checksums(table, ""),
        size=table.size("size"),
        member=table.optional_text("member"),
        archive_size=table.size("archive_size"),
        archive_checksums=_checksums(table, "archive_"),
    )


def _checksums(table: Table, prefix: str) -> dict[str, str]:
    digests = {algorithm: table.text(prefix + algorithm).lower() for algorithm in CHECKSUMS if prefix + algorithm in table}
    for algorithm, digest in digests.items():
        if re.fullmatch(rf"[0-9a-f]{{{CHECKSUMS[algorithm]}}}", digest) is None:
            raise ModelError(f"{prefix}{algorithm} of {table.where} must be {CHECKSUMS[algorithm]} hexadecimal digits, not {digest!r}")
    return digests


def _model(name: str, table: Table, labels: Mapping[str, RemoteFile]) -> Model:
    files = {role: _file(table.table(role)) for role in ROLES if role in table}
    if "labels" in table:
        known = table.text("labels")
        if known not in labels:
            raise ModelError(f"labels of {table.where} must be one of the catalogue's labels, not {known!r}")
        files["labels"] = labels[known]
    order = table.optional_text("channel_order") or "BGR"
    if order not in ORDERS:
        raise ModelError(f"channel_order of {table.where} must be BGR or RGB, not {order!r}")
    return Model(
        name=name,
        title=table.text("title"),
        home=table.text("home"),
        licence=table.optional_text("licence"),
        input=table.counts("input"),
        mean=table.numbers("mean") or None,
        scale=table.number("scale", 1.0),
        channel_order=order,
        layers=table.texts("layers"),
        facts=table.texts("facts"),
        files=files,
    )


def load_catalogue(path: str | Path | None = None) -> Catalogue:
    """Read the catalogue of public models.

    Parameters
    ----------
    path : str or Path, optional
        Another TOML file of the same form; default: the one in the package.

    Returns
    -------
    Catalogue
        The models by name, in the file's order.

    Raises
    ------
    ModelError
        When the file cannot be read, or a field is missing or not what it must be.

    Examples
    --------
    >>> load_catalogue()["bvlc_googlenet"].mean
    (104.0, 117.0, 123.0)
    """
    what = f"the model catalogue '{'models.toml' if path is None else path}'"
    if path is None:
        text = resources.files("dreamopt.models").joinpath("models.toml").read_text("utf-8")
    else:
        text = read_text(path, "the model catalogue", ModelError)
    root = Table(parse_toml(text, what, ModelError), what)
    files = {name: _file(table) for name, table in root.tables("labels")} if "labels" in root else {}
    return Catalogue({name: _model(name, table, files) for name, table in root.tables("models")})
