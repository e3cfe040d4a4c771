"""How units of a net are connected: expanded weights, effects on the classes, directions that are near."""
