"""Runs the cases of tests/fuzz, many more than the tests do."""

import os
import subprocess
import sys

from .report import ROOT, Part

FOLDER = ROOT / "tests" / "fuzz"
CASES = "VAE_TF_FUZZ_CASES"
LONGEST_LINE = 300


def fuzz(cases: int) -> Part:
    """Runs the fuzz cases."""
    part = Part("fuzz", "a config, a picture or an array of any bytes is read, or refused in one line")
    environment = {**os.environ, CASES: str(cases), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "-ra", str(FOLDER)]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    lines = ended.stdout.splitlines()
    part.failures += [line[:LONGEST_LINE] for line in lines if line.startswith(("FAILED", "ERROR", "SKIPPED"))]
    if ended.returncode and not part.failures:
        part.failures.append(f"pytest ended with {ended.returncode}: {(ended.stdout + ended.stderr)[-LONGEST_LINE:]}")
    part.cases = len(part.failures) or cases  # a test stops at its first failing case
    part.figures.append(f"pytest says: {lines[-1] if lines else 'nothing'}")
    return part
