"""Training a recogniser: data, heads, the loop, and what a run leaves."""
