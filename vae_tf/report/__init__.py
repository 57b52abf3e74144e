"""Reports on single runs, and comparisons of runs."""
