"""The web page of `dreamopt explore`."""
