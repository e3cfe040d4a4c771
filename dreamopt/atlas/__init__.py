"""The atlas of a net: every unit of chosen layers as files, made piece by piece, resumed at any moment."""
