"""Soak tests of what a training run survives: `python -m scripts.soak` writes RELIABILITY.md."""
