"""Passes of large images in tiles, with the values and the gradient of the whole image."""
