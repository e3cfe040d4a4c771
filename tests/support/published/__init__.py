"""What the published loops share: a net as pycaffe shows it, the random numbers of a run, small nets, and loops of several recipes."""
