"""Films: reading and writing them frame by frame, the optical flow between frames, and how much a film flickers."""
