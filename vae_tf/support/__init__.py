"""What every room uses: errors, redaction, YAML, atomic files, the command line, a quiet TensorFlow."""
