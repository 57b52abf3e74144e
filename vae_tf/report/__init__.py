"""Reports on runs, and comparisons between them."""
