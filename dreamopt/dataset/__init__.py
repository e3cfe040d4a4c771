"""Dataset examples: a set of images of any size passes through a net once, and parts of it are remembered, such as a unit's top images."""
