"""Scoring the cells of a bench, and running all of it."""
