"""How units answer to synthetic stimuli: orientation, frequency, colour."""
