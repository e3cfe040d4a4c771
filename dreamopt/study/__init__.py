"""Studies: which settings are best for a net, by runs that are paired, tuned alike, measured off the clock and judged by statistics.

A `Request` says what is compared on what. The schedule turns it into `Run`s, round by round; each run gives a `Row`; the analysis and the
report are made from rows alone.
"""
