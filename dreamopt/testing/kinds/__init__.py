"""One module for each kind of parts that the checker knows: it gives ``KIND``, and is found by being here."""
