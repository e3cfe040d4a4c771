"""Atlases of activations: what a layer says of many images, laid out on a plane and rendered."""
