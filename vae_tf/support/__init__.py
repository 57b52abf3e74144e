"""Shared utilities: errors, redaction, YAML, atomic file writes, the command line, a quiet start of TensorFlow."""
