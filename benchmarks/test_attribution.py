"""Attribution methods, and the same ones by Captum where it is installed.

`benchmarks.attributions` sets them against each other in turns.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.attributions import LAYER, METHODS, NET, TorchNet, f_grad, inputs, of_captum, of_dreamopt
from dreamopt.network import Network

pytest.importorskip("pytest_benchmark")


@pytest.mark.parametrize("method", ["f/grad", *METHODS])
def test_attribution(method: str, squeezenet: Network, benchmark: Any) -> None:
    """Time one image's map."""
    images = inputs(1)
    benchmark.group = method
    benchmark(f_grad(squeezenet, images) if method == "f/grad" else of_dreamopt(squeezenet, method, images))


@pytest.mark.filterwarnings("ignore:Setting backward hooks:UserWarning")
@pytest.mark.parametrize("method", METHODS)
def test_captum(method: str, squeezenet: Network, benchmark: Any) -> None:
    """Time it by Captum."""
    pytest.importorskip("captum")
    benchmark.group = method
    work = of_captum(TorchNet(NET, LAYER).eval(), method, inputs(1))
    if work is None:
        pytest.skip("Captum has no such method")
    benchmark(work)
