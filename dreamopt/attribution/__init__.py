"""Attribution: which parts of an image a unit answers to. `attribute` is the door; methods are parts, one a file of ``methods/``."""
