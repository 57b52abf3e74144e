"""Tests at length what a run survives: `python -m scripts.soak` writes RELIABILITY.md."""
