"""The cache of fetched models, and finding a net by path or by name."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dreamopt.errors import ModelError
from dreamopt.models.catalogue import Catalogue, Model, load_catalogue
from dreamopt.models.download import Progress, download


def cache_folder() -> Path:
    """Return the folder of fetched models.

    ``DREAMOPT_CACHE`` when it is set, else ``XDG_CACHE_HOME/dreamopt``, else ``~/.cache/dreamopt``.
    """
    if folder := os.environ.get("DREAMOPT_CACHE"):
        return Path(folder).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "dreamopt"


def _folder(model: Model, cache: str | Path | None) -> Path:
    return (cache_folder() if cache is None else Path(cache)) / "models" / model.name


def cached(model: Model, cache: str | Path | None = None) -> dict[str, Path] | None:
    """Return a model's files by role when prototxt and weights are in the cache, else None."""
    folder = _folder(model, cache)
    files = {role: folder / remote.name for role, remote in model.files.items() if (folder / remote.name).is_file()}
    return files if "prototxt" in files and "weights" in files else None


def fetch(
    model: Model,
    cache: str | Path | None = None,
    *,
    timeout: float = 30.0,
    retries: int = 3,
    pause: float = 1.0,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Fetch a model's prototxt, weights, labels and mean file into the cache.

    Parameters
    ----------
    model : Model
        From `load_catalogue`.
    cache : str or Path, optional
        The cache; default `cache_folder()`.
    timeout, retries, pause, progress
        As in `dreamopt.models.download.download`.

    Returns
    -------
    dict of str to Path
        The files by role.

    Raises
    ------
    ModelError
        When an address is missing or does not answer, or a checksum disagrees.
    """
    if not model.complete:
        missing = " and ".join(role for role in ("prototxt", "weights") if role not in model.files)
        raise ModelError(f"the catalogue knows no address of the {missing} of {model.name}; its home is {model.home}.")
    folder = _folder(model, cache)
    files: dict[str, Path] = {}
    # small files first, so that a net without its weights is never the last thing to fail
    for role in sorted(model.files, key=lambda role: role == "weights"):
        files[role] = download(model.files[role], folder, timeout=timeout, retries=retries, pause=pause, progress=progress)
    return {role: files[role] for role in model.files}


@dataclass(frozen=True)
class Located:
    """A net found by path or name, with what is known about its input (None: not known here)."""

    prototxt: str | None
    weights: str | None = None
    labels: str | None = None
    mean: tuple[float, ...] | str | None = None
    scale: float | None = None
    channel_order: str | None = None

    @classmethod
    def from_model(cls, model: Model, files: Mapping[str, Path]) -> "Located":
        """Describe a cached model."""
        mean: tuple[float, ...] | str | None = model.mean
        if mean is None and "mean_file" in files:
            mean = str(files["mean_file"])
        labels = str(files["labels"]) if "labels" in files else None
        return cls(str(files["prototxt"]), str(files["weights"]), labels, mean, model.scale, model.channel_order)


def check_net_name(name: str) -> None:
    """Raise ModelError for a name that is neither a file nor a net's that is known; whether it was fetched is not asked."""
    if name != "tiny" and not os.path.exists(name):
        named_model(name, load_catalogue())


def named_model(name: str, catalogue: Catalogue) -> Model:
    """Return the model of a name that is no file.

    Raises
    ------
    ModelError
        When there is none, with the nearest names unless it is a path.
    """
    if name not in catalogue and (name.endswith(".prototxt") or os.sep in name):
        raise ModelError(f"there is no file {name}.")
    return catalogue[name]


def locate(name: str | None, cache: str | Path | None = None, catalogue: Catalogue | None = None) -> Located:
    """Find a net by path or by name.

    Parameters
    ----------
    name : str or None
        The path of a prototxt; the name of a model of the catalogue that was fetched before; "tiny" or None for the embedded net.
    cache : str or Path, optional
        The cache; default `cache_folder()`.
    catalogue : Catalogue, optional
        Default: the package's.

    Returns
    -------
    Located
        Paths, and the input's preprocessing as far as the catalogue knows it.

    Raises
    ------
    ModelError
        When there is neither such a file nor such a model, or the model was not fetched yet.
    """
    if name is None or name == "tiny":
        return Located(None)
    if os.path.exists(name):  # not Path.exists(): it raises for a name that is too long
        return Located(name)
    model = named_model(name, load_catalogue() if catalogue is None else catalogue)
    files = cached(model, cache)
    if files is None:
        raise ModelError(f"{model.name} is not in the cache yet; fetch it with: dreamopt models get {model.name}")
    return Located.from_model(model, files)
