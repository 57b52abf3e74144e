"""Test what a run survives: python -m scripts.soak

Writes RELIABILITY.md, and exits with status 1 if something did not hold. Linux only; the disks of the part `room` need
root, or `unshare --map-root-user --mount`. All parts together take about an hour on two cores.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vae_tf.support.quiet_tensorflow import load_tensorflow

from .damage import damage
from .fuzz import fuzz
from .growth import growth
from .kills import kills
from .report import ROOT, Part, page, said, status
from .room import room


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="runs to kill")
    parser.add_argument("--flips", type=int, default=200, help="bits to flip")
    parser.add_argument("--disks", type=int, default=12, help="disks to fill at a random place")
    parser.add_argument("--cases", type=int, default=10_000, help="fuzz cases")
    parser.add_argument("--epochs", type=int, default=300, help="epochs of the long run")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments, bits and sizes")
    parser.add_argument(
        "--parts", nargs="+", choices=("kills", "damage", "room", "fuzz", "growth"), help="default: all"
    )
    parser.add_argument("--report", type=Path, default=ROOT / "RELIABILITY.md")
    options = parser.parse_args()
    load_tensorflow()

    def rng() -> np.random.Generator:
        return np.random.default_rng(options.seed)  # a part draws the same numbers alone as with the others

    tries: dict[str, Callable[[Path], Part]] = {
        "kills": lambda folder: kills(folder, options.kills, rng()),
        "damage": lambda folder: damage(folder, options.flips, rng()),
        "room": lambda folder: room(folder, options.disks, rng()),
        "fuzz": lambda _: fuzz(options.cases),
        "growth": lambda folder: growth(folder, options.epochs),
    }
    parts = [_tried(name, tries[name]) for name in options.parts or tries]
    options.report.write_text(page(parts, said(sys.argv[1:])), encoding="utf-8")
    print(options.report)
    return status(parts)


def _tried(name: str, attempt: Callable[[Path], Part]) -> Part:
    """Runs a part; if the part itself fails, that is reported like its findings."""
    print(name, flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            part = attempt(Path(folder))
        except Exception as error:
            part = Part(name, "it can be tried", failures=[f"{type(error).__name__}: {error}"])
    part.figures.append(f"took {(time.monotonic() - began) / 60:.1f} minutes")
    return part


if __name__ == "__main__":
    sys.exit(main())
