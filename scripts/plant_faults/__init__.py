"""What the tests catch: `python -m scripts.plant_faults` plants faults one at a time and runs the tests on each."""
