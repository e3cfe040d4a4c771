"""What old scripts expect of other libraries: names and modules that numpy, scipy and Python have dropped since."""
