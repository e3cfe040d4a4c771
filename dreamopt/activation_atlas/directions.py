"""Directions of activations that are whitened: what makes them differ from all others counts, not what all have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_RIDGE = 0.1  # moments of few positions are noisy where the values are small


class Whitening:
    r"""The inverse second moment of a layer's activations.

    .. math:: S = \left(\frac{1}{N} A^T A + \rho \bar\lambda I\right)^{-1}

    Parameters
    ----------
    vectors : ndarray, (N, C)
        All activations that were sampled, :math:`A`.
    ridge : float
        :math:`\rho`: how much of the mean eigenvalue :math:`\bar\lambda` is added to each, so that what was hardly seen is not blown up.

    References
    ----------
    .. [1] Carter et al., "Exploring Neural Networks with Activation Atlases", Distill 2019: "whitened" directions.
    """

    def __init__(self, vectors: NDArray[np.float32], ridge: float = _RIDGE) -> None:
        values = vectors.astype(np.float64)
        moment = values.T @ values / max(1, len(values))
        mean = float(np.trace(moment)) / max(1, len(moment))
        self.moment: NDArray[np.float64] = moment + max(ridge * mean, np.finfo(np.float64).tiny) * np.eye(len(moment))
        """(C, C)"""

    def direction(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the whitened direction of a vector, (C,), of length 1; zeros for zeros."""
        from scipy.linalg import solve

        if not vector.any():
            return np.zeros(len(self.moment))
        whitened: NDArray[np.float64] = solve(self.moment, vector, assume_a="pos")
        length = float(np.linalg.norm(whitened))
        return whitened / length if length > 0 else whitened
