"""Checks Azure ML YAML files before they are submitted, beyond what the SDK checks.

The SDK validates each file against its schema. This package checks that the files, the commands and vae_tf fit
together. Such errors would otherwise show up only minutes later, on a node that you are already paying for.
"""
