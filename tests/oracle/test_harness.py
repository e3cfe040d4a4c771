"""The oracle's own behaviour: it computes, it survives a dying Caffe, it runs scripts."""

import numpy as np
import pytest

from tests.support.oracle.harness import Oracle, OracleError

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 7 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
"""


def test_runs_forward_and_backward(oracle: Oracle) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 7)).astype(np.float32)
    seed = np.ones((2, 4), np.float32)
    run = oracle.run(NET, inputs={"data": x}, seeds={"fc": seed})
    w, b = run.weights["fc"]
    np.testing.assert_allclose(run.blobs["fc"], x.reshape(2, -1) @ w.T + b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run.diffs["data"].reshape(2, -1), seed @ w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run.weight_diffs["fc"][0], seed.T @ x.reshape(2, -1), rtol=1e-4, atol=1e-5)


def test_a_failed_check_is_reported_and_survived(oracle: Oracle) -> None:
    with pytest.raises(OracleError, match="Check failed"):
        oracle.run(NET.replace("num_output: 4", "num_output: 4 axis: 9"))
    assert oracle.run(NET).blobs["fc"].shape == (2, 4)


def test_runs_scripts(oracle: Oracle) -> None:
    code = "result['sum'] = inputs['a'] + arguments['b']; result['n'] = len(open('f.bin', 'rb').read()); print('noise')"
    out = oracle.script(code, files={"f.bin": b"abc"}, inputs={"a": np.arange(3)}, arguments={"b": 2})
    np.testing.assert_array_equal(out["sum"], [2, 3, 4])
    assert int(out["n"]) == 3
    with pytest.raises(OracleError, match="NameError"):
        oracle.script("missing_name")
