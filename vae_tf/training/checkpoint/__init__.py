"""Saves the state of training, so that a run can resume as if it had never stopped."""
