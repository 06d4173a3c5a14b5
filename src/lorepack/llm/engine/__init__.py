"""The engine behind generate and score: shared prefixes once, rows without padding, refilled."""
