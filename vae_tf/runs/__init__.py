"""Run folders and experiment tracking."""
