"""Real Caffe as a backend, in this Python or in another."""
