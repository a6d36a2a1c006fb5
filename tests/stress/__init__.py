"""Commands that are killed, run out of disk or run beside each other; `kills.py` by hand alone."""
