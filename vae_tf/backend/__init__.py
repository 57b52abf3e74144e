"""Code that uses TensorFlow directly instead of through Keras."""
