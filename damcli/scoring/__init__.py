"""From pairs and LIDs to scores: which rows a pair means, what is checked, what is written."""
