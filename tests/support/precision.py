"""Tests of bfloat16 run where the processor has it."""

import pytest
import torch

from dreamopt.engine.precision import has_bf16

needs_bf16 = pytest.mark.skipif(
    not has_bf16(torch.device("cpu")), reason="this processor has neither avx512_bf16 nor amx_bf16: bf16 would be refused"
)
