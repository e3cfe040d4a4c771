"""What a run ran on."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch

from dreamopt.version import __version__


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        named = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        named = ""
    return named or platform.processor() or platform.machine()


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return what rows say of the machine."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return {
        "cpu": processor(),
        "cores": cores(),
        "device": f"{device} ({name})" if name else str(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dreamopt": __version__,
    }
