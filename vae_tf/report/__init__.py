"""Pages and comparisons."""
