"""What every part is made of: printing, registry, call strings, schedules, random streams, checks, image space."""
