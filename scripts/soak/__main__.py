"""Test what a training run survives: python -m scripts.soak

Writes RELIABILITY.md, and exits with status 1 if a case failed. Linux only; the scenario `disk` mounts file systems,
which needs root, or `unshare --map-root-user --mount`. All scenarios together take about an hour on two cores.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vae_tf.support.quiet_tensorflow import load_tensorflow

from .report import ROOT, Scenario, command_line, page, status


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="number of runs to kill")
    parser.add_argument("--flips", type=int, default=200, help="number of bits to flip")
    parser.add_argument("--disks", type=int, default=12, help="number of disks to fill at a random point")
    parser.add_argument("--cases", type=int, default=10_000, help="number of fuzz cases")
    parser.add_argument("--epochs", type=int, default=300, help="epochs of the long run")
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed of the times of kills, the flipped bits and the sizes of disks"
    )
    parser.add_argument(
        "--scenarios", nargs="+", choices=("kills", "damage", "disk", "fuzz", "growth"), help="default: all"
    )
    parser.add_argument("--report", type=Path, default=ROOT / "RELIABILITY.md")
    options = parser.parse_args()
    load_tensorflow()
    from .damage import damage_scenario
    from .full_disk import full_disk_scenario
    from .fuzz import fuzz_scenario
    from .growth import growth_scenario
    from .kills import kill_scenario

    def rng() -> np.random.Generator:
        return np.random.default_rng(options.seed)  # so that a scenario does not depend on which others run

    scenario_functions: dict[str, Callable[[Path], Scenario]] = {
        "kills": lambda folder: kill_scenario(folder, options.kills, rng()),
        "damage": lambda folder: damage_scenario(folder, options.flips, rng()),
        "disk": lambda folder: full_disk_scenario(folder, options.disks, rng()),
        "fuzz": lambda _: fuzz_scenario(options.cases),
        "growth": lambda folder: growth_scenario(folder, options.epochs),
    }
    scenarios = [_run_scenario(name, scenario_functions[name]) for name in options.scenarios or scenario_functions]
    options.report.write_text(page(scenarios, command_line(sys.argv[1:])), encoding="utf-8")
    print(options.report)
    return status(scenarios)


def _run_scenario(name: str, function: Callable[[Path], Scenario]) -> Scenario:
    """Runs a scenario; an error in the scenario itself is reported as a failure."""
    print(name, flush=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            scenario = function(Path(folder))
        except Exception as error:
            scenario = Scenario(name, "the scenario runs", failures=[f"{type(error).__name__}: {error}"])
    scenario.observations.append(f"took {(time.monotonic() - start) / 60:.1f} minutes")
    return scenario


if __name__ == "__main__":
    sys.exit(main())
