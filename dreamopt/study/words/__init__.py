"""What a user says of a study: options, a study file or Python's arguments, read into contestants, units and a `Request`."""
