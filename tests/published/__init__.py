"""The published recipes as plain loops over pycaffe's face, in numpy, scipy and scikit-image, written from the publications.

One file for each preset, with its loop and the test that the preset gives the same image: ``yosinski2015_1.py`` for the preset
``yosinski2015-1``. Loops that several presets share are in ``tests/support/published``.

Nothing of dreamopt's objectives, regularizers, parametrizations, transforms or optimizers is used. What is fixed is the randomness:
`Draws` names the same streams that the presets draw from, (seed, item, step), the octave or stage, the view, and the transform's
place in the preset's list.
"""
