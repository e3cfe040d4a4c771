"""Who computes a net: the engine, real Caffe, or torch functions, one file each, behind the protocol of `base.Backend`."""
