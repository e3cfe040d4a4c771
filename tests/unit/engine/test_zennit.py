"""Relevance rules and composites against the numbers of zennit, for a small net with BatchNorm, a sum, pooling of both kinds and a Deconvolution.

The numbers are stored (`tests.support.zennit_net` says how they were made); where zennit is installed, it is asked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamopt.engine.net import Net
from dreamopt.engine.rule_list import parse_rules
from tests.support.zennit_net import NUMBERS, RULES, net, relevance_by_zennit


@pytest.fixture(scope="module")
def numbers() -> Mapping[str, NDArray[Any]]:
    with np.load(NUMBERS) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def ours(numbers: Mapping[str, NDArray[Any]]) -> Net:
    made = net()
    for name, blobs in made.params.items():
        for i, blob in enumerate(blobs):
            blob.data[...] = numbers[f"weights {name}.{i}"]
    return made


def off(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_the_net_is_the_same(ours: Net, numbers: Mapping[str, NDArray[Any]]) -> None:
    value = ours.program(["fc2"])({"data": torch.from_numpy(numbers["x"])})["fc2"]
    assert off(value, torch.from_numpy(numbers["value"])) < 1e-5


@pytest.mark.parametrize("rule", RULES)
def test_zennits_numbers(ours: Net, numbers: Mapping[str, NDArray[Any]], rule: str) -> None:
    leaf = torch.from_numpy(numbers["x"]).requires_grad_()
    value = ours.program(["fc2"])({"data": leaf}, rule=parse_rules(rule))["fc2"]
    (found,) = torch.autograd.grad(value, leaf, torch.from_numpy(numbers["seed"]))
    # Under these two at every layer, relevance at the sum has nothing to do with its values, and is divided by some that are nearly 0.
    assert off(found, torch.from_numpy(numbers[rule])) < (1e-2 if rule in ("flat", "w_squared") else 1e-3)


@pytest.mark.parametrize("rule", RULES)
def test_zennit_still_says_so(numbers: Mapping[str, NDArray[Any]], rule: str) -> None:
    zennit = pytest.importorskip("zennit", reason="needs zennit, with torchvision")
    weights = {name.removeprefix("weights "): value for name, value in numbers.items() if name.startswith("weights ")}
    x, seed = (torch.from_numpy(numbers[name]) for name in ("x", "seed"))
    assert off(relevance_by_zennit(zennit, rule, weights, x, seed).float(), torch.from_numpy(numbers[rule])) < 1e-5
