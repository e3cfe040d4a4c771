"""The precisions that convolutions and inner products are computed in, and which of them a device has instructions for."""

from __future__ import annotations

import torch

from dreamopt.errors import BackendError, UsageError

FLOAT32, BF16 = "float32", "bf16"
PRECISIONS = (FLOAT32, BF16)
_CAPABILITY = (8, 0)  # of NVIDIA's GPUs, the first with bfloat16


def has_bf16(device: torch.device) -> bool:
    """Return whether a device multiplies bfloat16 in hardware: ``avx512_bf16`` or ``amx_bf16``, or compute capability 8."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _CAPABILITY
    if device.type != "cpu":
        return False
    # Private, so perhaps gone in another torch: it then counts as a processor without.
    asked = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return any(ask is not None and bool(ask()) for ask in asked)


def check_precision(precision: object) -> str:
    """Return the name of a precision.

    Raises
    ------
    UsageError
        For anything else.

    Examples
    --------
    >>> check_precision("bf16")
    'bf16'
    """
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise UsageError(f"precision must be {' or '.join(PRECISIONS)}, not {precision!r}")
    return precision


def require_precision(precision: object, device: torch.device) -> str:
    """Return the name of a precision that a device can compute in.

    Raises
    ------
    UsageError
        For anything else.
    BackendError
        For ``"bf16"`` on a device without instructions for it, where it would be emulated, slower than float32.
    """
    precision = check_precision(precision)
    if precision == BF16 and not has_bf16(device):
        raise BackendError(
            f"precision 'bf16' needs a processor with avx512_bf16 or amx_bf16, or a GPU of compute capability 8.0 or later, which {device} "
            "is not; leave it at float32"
        )
    return precision
