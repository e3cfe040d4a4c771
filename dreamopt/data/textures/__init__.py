"""Images of named textures and shapes, made from a seed: what the embedded net is trained on.

``texture_image(name, index, seed)`` is a pure function of its arguments: the same image on every machine and in every order of calls.
"""

from dreamopt.data.textures.sheet import CLASSES, batch, texture_image

__all__ = ["CLASSES", "batch", "texture_image"]
