"""Backward rules, one a file; each file holds the class that it is named after (`dreamopt.engine.backward_rule`)."""
