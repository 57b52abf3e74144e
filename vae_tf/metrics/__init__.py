"""Scores: functions of a model's output and data, each number with its unit and standard error."""
