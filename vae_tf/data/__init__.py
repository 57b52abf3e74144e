"""Pictures: where they come from (sources), which ones (catalog), and how they reach the model (pipeline)."""
