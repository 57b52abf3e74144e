"""Data: file formats (`sources`), datasets and their splits (`loading`), and batches for the model (`pipeline`)."""
