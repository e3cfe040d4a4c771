"""The catalogue of public Caffe models, read from ``models.toml`` beside this file."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from dreamopt.errors import ModelError, suggest

CHECKSUMS = ("sha256", "sha384", "sha1")
ROLES = ("prototxt", "weights", "mean_file")


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
    """

    name: str
    urls: tuple[str, ...]
    checksums: Mapping[str, str]
    size: int | None = None
    member: str | None = None


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
            hint = suggest(name, self._models, cutoff=0.4) or "`dreamopt models` lists those it knows."
            raise ModelError(f"the catalogue has no model named {name!r}; {hint}")
        return model

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._models or name.lower().replace("-", "_") in self._models)

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)


def _file(table: Mapping[str, Any]) -> RemoteFile:
    sums = {algorithm: str(table[algorithm]).lower() for algorithm in CHECKSUMS if algorithm in table}
    return RemoteFile(str(table["name"]), tuple(table["urls"]), sums, table.get("size"), table.get("member"))


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
        When the file cannot be read or lacks a field that every model needs.

    Examples
    --------
    >>> load_catalogue()["bvlc_googlenet"].mean
    (104.0, 117.0, 123.0)
    """
    try:
        text = (
            resources.files("dreamopt.models").joinpath("models.toml").read_text("utf-8") if path is None else Path(path).read_text("utf-8")
        )
        root = tomllib.loads(text)
        labels = {name: _file(table) for name, table in root.get("labels", {}).items()}
        models = {}
        for name, table in root["models"].items():
            files = {role: _file(table[role]) for role in ROLES if role in table}
            if "labels" in table:
                files["labels"] = labels[table["labels"]]
            mean = table.get("mean")
            models[name] = Model(
                name=name,
                title=table["title"],
                home=table["home"],
                licence=table.get("licence"),
                input=tuple(table.get("input", ())),
                mean=None if mean is None else tuple(float(value) for value in mean),
                scale=float(table.get("scale", 1.0)),
                channel_order=table.get("channel_order", "BGR"),
                layers=tuple(table.get("layers", ())),
                facts=tuple(table.get("facts", ())),
                files=files,
            )
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"the model catalogue {path or 'models.toml'} cannot be read: {error}.") from error
    except KeyError as error:
        raise ModelError(f"the model catalogue {path or 'models.toml'} lacks the field {error}.") from error
    return Catalogue(models)
