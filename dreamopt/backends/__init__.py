"""What computes a net: the engine, or (for tests and toys) plain functions; one file each, behind `base.Backend`."""
