"""Saves the state of training, so that a run resumes as if it had never stopped."""
