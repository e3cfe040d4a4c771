"""Attribution methods compared on one net: metrics, controls, a set of images whose truth is known, randomized weights, a report."""
