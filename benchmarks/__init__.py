"""Measurements: each module is run by name and prints one JSON line."""
