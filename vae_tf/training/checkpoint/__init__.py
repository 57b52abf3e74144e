"""The state of training, saved so that a run goes on as if it had never ended."""
