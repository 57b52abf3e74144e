"""Runs tests/fuzz with many more cases than the test suite does."""

import os
import subprocess
import sys

from .report import ROOT, Scenario

FOLDER = ROOT / "tests" / "fuzz"
CASES = "VAE_TF_FUZZ_CASES"
MAX_LINE_LENGTH = 300


def fuzz_scenario(cases: int) -> Scenario:
    """Runs the fuzz cases."""
    scenario = Scenario("fuzz", "a file with arbitrary bytes is read, or rejected with a one-line error")
    environment = {**os.environ, CASES: str(cases), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "-ra", str(FOLDER)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    lines = result.stdout.splitlines()
    scenario.failures += [line[:MAX_LINE_LENGTH] for line in lines if line.startswith(("FAILED", "ERROR", "SKIPPED"))]
    if result.returncode and not scenario.failures:
        output = result.stdout + result.stderr
        scenario.failures.append(f"pytest exited with {result.returncode}: {output[-MAX_LINE_LENGTH:]}")
    scenario.cases = len(scenario.failures) or cases  # a test stops at its first failing case
    scenario.observations.append(f"last line of pytest: {lines[-1] if lines else 'nothing'}")
    return scenario
