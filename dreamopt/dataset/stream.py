"""One pass of a set of images through a net, shared by all that look at it: batches go in, reducers keep what they are for."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor

from dreamopt.dataset.frames import READERS, Fit, Frame, Loaded, Pair, loaded
from dreamopt.dataset.listing import START, Entry, Listing
from dreamopt.dataset.place_values import strongest
from dreamopt.errors import DreamoptWarning, ShapeError, TargetError
from dreamopt.network import Network

MOST_NAMED = 100
"""How many of the images that could not be read are remembered by name; of all of them, the number."""
Peaks = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Batch:
    """Images of one size that passed through the net together.

    Parameters
    ----------
    frames : sequence of Frame
        The images.
    activations : mapping of str to Tensor
        (N, ...) by layer, of all layers that any reducer asks for; without a gradient.
    size : (int, int)
        (H, W) of the images as the net sees them.
    """

    frames: Sequence[Frame]
    activations: Mapping[str, Tensor]
    size: Pair
    _peaks: dict[str, Peaks] = field(default_factory=dict, repr=False)

    def peaks(self, layer: str) -> Peaks:
        """Return the highest value of each unit of a layer in each image, (N, units), and its place as one number, row by row.

        Of equal values it is the first, on every device. Found once for all reducers.
        """
        if layer not in self._peaks:
            values = self.activations[layer].detach()
            self._peaks[layer] = strongest(values.reshape(*values.shape[:2], 1, -1))
        return self._peaks[layer]

    @property
    def indices(self) -> list[int]:
        """The images' places in the set."""
        return [frame.entry.index for frame in self.frames]


class Reducer(Protocol):
    """What looks at all images of a pass and keeps little of them; it does not depend on how they are cut into batches.

    Of a reducer that is given all images before an image, and one that `restore` made of the state after them, nobody can tell which is
    which.
    """

    @property
    def layers(self) -> Sequence[str]:
        """The layers whose activations it reads."""

    def add(self, batch: Batch) -> None:
        """Look at some images, each of which comes once."""

    def images(self) -> set[int]:
        """Return the images that it holds, by their places in the set: their entries are remembered."""

    def state(self) -> Any:
        """Return all that it holds, fit for JSON."""

    def restore(self, state: Any) -> None:
        """Take over what `state` returned."""


@dataclass(frozen=True)
class Progress:
    """How far a pass is.

    Parameters
    ----------
    done : int
        Entries of the set that were looked at or skipped.
    digest : str
        Of these entries: paths, sizes, times of change.
    images : int
        How many of them passed through the net.
    skipped : int
        How many could not be read.
    reasons : tuple of (str, str)
        Paths and reasons of the first that could not be.
    noted : int
        How many were read with something left out: further frames, an unknown profile.
    entries : mapping of int to Entry
        Those that reducers hold.
    complete : bool
        Whether that was all of the set.
    """

    done: int = 0
    digest: str = START
    images: int = 0
    skipped: int = 0
    reasons: tuple[tuple[str, str], ...] = ()
    noted: int = 0
    entries: Mapping[int, Entry] = field(default_factory=dict)
    complete: bool = False

    def found_again(self, listing: Listing) -> Progress | None:
        """Return the same with its entries as they are in a set now; None where that does not begin with them, or one was changed."""
        digest, count, entries = START, 0, dict[int, Entry]()
        for entry in islice(listing, self.done):
            digest, count = entry.digest(digest), count + 1
            if entry.index in self.entries:
                entries[entry.index] = entry
        same = count == self.done and digest == self.digest and entries.keys() == self.entries.keys()
        return replace(self, entries=entries) if same else None


def stream(
    network: Network,
    listing: Listing,
    reducers: Sequence[Reducer],
    fit: Fit,
    *,
    batch: int = 16,
    start: Progress | None = None,
    readers: int = READERS,
) -> Generator[Progress]:
    """Pass the images of a set through the net, for all reducers at once; yield how far it is after each ``batch`` images.

    Images are read in threads beside the net. At any time the memory holds at most three batches of images. What cannot be read is skipped
    with its reason. Between two values that it yields, the reducers hold the images up to there, and the pass can be left.

    Parameters
    ----------
    network : Network
        The net; nothing beyond the topmost layer that is asked for is computed.
    listing : Listing
        The set.
    reducers : sequence of Reducer
        What looks at each batch.
    fit : Fit
        How images become the net's input.
    batch : int
        How many images pass through the net at once. Images of several sizes pass in as many parts.
    start : Progress, optional
        Where a pass that was left goes on; the reducers were restored. As many images are passed at once as without the interruption.
    readers : int
        Threads that read images; 0: none beside the net.
    """
    layers = list(dict.fromkeys(layer for reducer in reducers for layer in reducer.layers))
    progress = Progress() if start is None else replace(start, complete=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DreamoptWarning)  # of images that are read, of which a set may have very many: they are counted
        entries = islice(listing, progress.done, None)
        source = loaded(entries, fit, network, 2 * batch, readers)
        while True:
            chunk, frames = list[Loaded](), 0
            for item in source:
                chunk.append(item)
                frames += item.frame is not None
                if frames == batch:
                    break
            reasons = [(item.entry.path, item.reason) for item in chunk if item.frame is None]
            refused = _pass_on(network, layers, reducers, [item for item in chunk if item.frame is not None])
            reasons += refused
            digest = progress.digest
            for item in chunk:
                digest = item.entry.digest(digest)
            done = progress.done + len(chunk)
            complete = frames < batch
            if complete and listing.unread:
                reasons += [(folder, f"the folder cannot be listed: {reason}") for folder, reason in listing.unread]
            held = set[int]().union(*(reducer.images() for reducer in reducers))
            known = dict(progress.entries) | {item.entry.index: item.entry for item in chunk}
            progress = Progress(
                done,
                digest,
                progress.images + frames - len(refused),
                progress.skipped + len(reasons),
                (*progress.reasons, *reasons)[:MOST_NAMED],
                progress.noted + sum(item.frame is not None and item.frame.noted for item in chunk),
                {index: known[index] for index in sorted(held)},
                complete,
            )
            yield progress
            if complete:
                return


def _pass_on(network: Network, layers: list[str], reducers: Sequence[Reducer], items: Sequence[Loaded]) -> list[tuple[str, str]]:
    """Pass images through the net, those of one size together; return those that it cannot take, with the reasons."""
    by_size: dict[Pair, list[Loaded]] = {}
    refused = []
    for item in items:
        assert item.frame is not None
        by_size.setdefault(item.frame.size, []).append(item)
    for size, alike in by_size.items():
        frames = [item.frame for item in alike if item.frame is not None]
        images = torch.stack([item.input for item in alike if item.input is not None])
        try:
            activations = _activations(network, images, layers)
            for reducer in reducers:
                reducer.add(Batch(frames, activations, size))
        except (ShapeError, TargetError) as problem:  # of this size: a map is too small, or a place is not in it
            refused += [(frame.entry.path, str(problem)) for frame in frames]
    return refused


def _activations(network: Network, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return the activations of images that pass at once; where memory runs out, of one half after the other."""
    with torch.no_grad():
        parts = network.together.passed(
            layers,
            images.shape[2:],
            len(images),
            # Reducers go along each map.
            lambda part: {name: a.contiguous() for name, a in network.activations(images[part.start : part.stop], layers).items()},
        )
    return parts[0] if len(parts) == 1 else {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
