"""What is TensorFlow and not Keras."""
