"""The published recipes as plain loops over pycaffe's face, in numpy, scipy and scikit-image, written from the publications.

Nothing of dreamopt's objectives, regularizers, parametrizations, transforms or optimizers is used. What is fixed is the randomness:
`Draws` names the same streams that the presets draw from, (seed, item, step), the octave or stage, the view, and the transform's
place in the preset's list.
"""
