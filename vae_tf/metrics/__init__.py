"""Metrics, each with its unit and standard error, and anomaly scores: functions of a model and arrays."""
