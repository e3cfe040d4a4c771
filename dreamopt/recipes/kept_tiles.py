"""In which tiles a job's images are computed, kept in the job's file: other tiles round otherwise, and a resumed job has the same bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dreamopt.network import Network
from dreamopt.parts.checks import Range, check_number
from dreamopt.recipes.metadata import KEPT_TILES


def recorded_tiles(metadata: Mapping[str, Any]) -> int | None:
    """Return the memory by which an image was cut into tiles, as its metadata say; None for a whole one.

    Raises
    ------
    UsageError
        For a number that cannot be one.
    """
    made = metadata.get("made_with")
    tiles = made.get("tile_memory") if isinstance(made, Mapping) else None
    return None if tiles is None else int(check_number("made_with.tile_memory of the metadata", tiles, Range(1, 2**50)))


class KeptTiles:
    """What a job's file says of its tiles; nothing for one that is begun.

    Parameters
    ----------
    job : mapping
        The file of a job that is resumed, checked: ``memory``, what the user allows, and ``tile_memory``, what was chosen by it for the
        net's values; None for whole images.
    """

    def __init__(self, job: Mapping[str, Any] | None = None) -> None:
        self._kept: dict[str, int | None] = (
            {key: job[key] for key in KEPT_TILES} if job is not None and KEPT_TILES.keys() <= job.keys() else {}
        )

    def describe(self) -> dict[str, int | None]:
        """Return the keys of the job's file."""
        return dict(self._kept)

    def choose(self, memory: int | None, own: int | None, *, again: bool = False) -> bool:
        """Take what was chosen now where nothing is kept, or another number is allowed than before; return whether the file changes.

        Parameters
        ----------
        memory : int or None
            What the user allows; None is no other number than before.
        own : int or None
            What was chosen by it.
        again : bool
            Whether ``own`` counts in any case: it has changed within the job.
        """
        other = not self._kept or (memory is not None and memory != self._kept["memory"])
        if other or (again and own != self._kept["tile_memory"]):
            self._kept = {"memory": memory if other else self._kept["memory"], "tile_memory": own}
            return True
        return False

    def network(self, network: Network, progress: Callable[[int, int], None] | None = None) -> Network:
        """Return a network that computes in the tiles that are kept; ``progress`` as for `dreamopt.network.Network.tiled`."""
        kept = self._kept["tile_memory"]
        if kept == network.tile_memory:
            return network
        return network.untiled() if kept is None else network.tiled(kept, progress)
