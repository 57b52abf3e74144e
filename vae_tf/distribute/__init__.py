"""Where the computation runs: devices, TensorFlow's strategies, and the other workers."""
