"""dreamopt: gradient-ascent optimization for trained Caffe networks."""

__version__ = "0.1.0"
