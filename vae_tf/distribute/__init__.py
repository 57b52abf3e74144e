"""Distributed training: the workers of a run, and TensorFlow's distribution strategies."""
