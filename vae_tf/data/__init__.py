"""Data: file formats (sources), datasets and their splits (catalog), and batches for the model (pipeline)."""
