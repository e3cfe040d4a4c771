"""Whether weights still are what something was made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from dreamopt.engine.blob import Blob
    from dreamopt.engine.memory import Memory


class WeightStamp:
    """The state of a net's weights at some moment.

    Parameters
    ----------
    blobs : sequence of Blob
        The weights.
    """

    def __init__(self, blobs: Sequence[Blob]) -> None:
        self._blobs = blobs
        self._device: torch.device | None = None
        self._seen: list[tuple[Memory, int]] = []

    def is_current(self, device: torch.device) -> bool:
        """Return whether nobody can have touched the weights since `renew`, which was for this device."""
        stamps = zip(self._blobs, self._seen, strict=False)
        return device == self._device and all(b._data is m and not m.touched_since(v) for b, (m, v) in stamps)

    def renew(self, device: torch.device) -> None:
        """Take the weights as they are now."""
        self._device, self._seen = device, [(blob._data, blob._data.version) for blob in self._blobs]
