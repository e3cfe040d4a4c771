"""What computed a result, as its file says."""

from __future__ import annotations

import platform
from typing import Any

import torch

from dreamopt.network.network import Network


def made_with(network: Network) -> dict[str, Any]:
    """Return what computes a network: versions, the machine's kind, the device, how many threads; fit for JSON."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": str(network.device),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
    }
