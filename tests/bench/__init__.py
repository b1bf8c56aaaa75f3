"""Measurements of a whole job that are too long for a test: each a command with a JSON object as its answer."""
