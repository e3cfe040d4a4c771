"""The static site of an atlas."""
