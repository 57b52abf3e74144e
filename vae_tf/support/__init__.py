"""Shared utilities: errors, redaction, YAML, atomic file writes, the command line, importing TensorFlow quietly."""
