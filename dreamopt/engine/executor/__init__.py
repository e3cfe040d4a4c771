"""The fast path: the net pruned to the layers asked for, fused kernels, and its backward pass."""
