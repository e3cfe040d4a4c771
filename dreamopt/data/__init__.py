"""The embedded net: ``tiny.prototxt``, ``tiny.caffemodel``, and ``tiny.txt`` with the class names in the order of the scores."""
