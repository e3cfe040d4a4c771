"""The most memory that a run takes."""

from __future__ import annotations

from pathlib import Path

import torch

from dreamopt.parts.memory import release_memory

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """The most bytes that this process holds from now on: on a CPU the program and the net among them, on a GPU torch's tensors.

    Parameters
    ----------
    device : torch.device
        Of the net.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._known = device.type == "cuda" or (device.type == "cpu" and _reset())
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def bytes(self) -> int | None:
        """Return the most until now; None where the system does not say it."""
        if not self._known:
            return None
        return torch.cuda.max_memory_allocated(self._device) if self._device.type == "cuda" else _highest()


def _reset() -> bool:
    """Let Linux count anew; return whether it does."""
    release_memory(reserves=True)  # what runs before this one left
    try:
        _RESET.write_text("5", encoding="ascii")
    except OSError:
        return False
    return _highest() is not None


def _highest() -> int | None:
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
    except (OSError, ValueError, IndexError):
        return None
