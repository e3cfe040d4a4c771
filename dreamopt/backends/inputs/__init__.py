"""A net's inputs: which one is optimized, what the others are fed, and where a net is cut to have another."""
