"""What a run survives, shown at length: `python -m scripts.soak` writes RELIABILITY.md."""
