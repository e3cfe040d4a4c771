"""How fast the hot path is, beside real Caffe and beside torch written down plainly."""
