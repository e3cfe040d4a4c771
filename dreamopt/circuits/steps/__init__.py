"""How kernels and uniform directions go down through one layer, a kind of layer a file."""
