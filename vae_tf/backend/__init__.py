"""Low-level code: kernels, devices, replicas and the guarded training step."""
