"""Mutation tests: `python -m scripts.plant_faults` plants one fault at a time and runs the tests."""
