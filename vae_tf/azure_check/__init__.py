"""Checks Azure ML YAML files before a submission, beyond what the SDK checks.

The SDK checks the shape of each file. This checks how the files, the commands and the package fit together. Such faults
would otherwise show up minutes later, on a node that is already paid for.
"""
