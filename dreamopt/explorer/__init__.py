"""The web page of ``dreamopt explore``: a net's layers and units on a photograph, live, and images that grow."""
