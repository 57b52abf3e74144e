"""Network families. A backbone makes a matching encoder and decoder as plain Keras models."""
