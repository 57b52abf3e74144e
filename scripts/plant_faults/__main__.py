"""Show which faults the tests catch: python -m scripts.plant_faults {draw,run,table}

`draw` draws random lines of vae_tf and what each becomes; `run` plants one fault at a time in a copy of the tree and
runs the tests until one fails; `table` prints what two such runs caught. If coverage.py has recorded a run of the tests
with `pytest --cov=vae_tf --cov-context=test`, the tests that run the line come before all others.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from .copies import Copy
from .faults import draw, excluded_keys, read, write
from .report import table
from .trials import attempt_all, read_results

ROOT = Path(__file__).resolve().parents[2]
FAULTS = Path(__file__).with_name("faults.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.plant_faults", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)

    drawing = commands.add_parser("draw", help="draws faults")
    drawing.add_argument("--seed", type=int, required=True)
    drawing.add_argument("--count", type=int, default=40)
    drawing.add_argument("--out", type=Path, default=FAULTS, help="what it lists as excluded already is left out")
    drawing.set_defaults(command=_draw)

    running = commands.add_parser("run", help="plants faults and runs the tests")
    running.add_argument("--faults", type=Path, default=FAULTS)
    running.add_argument("--tree", type=Path, default=ROOT, help="a git checkout, which is copied")
    running.add_argument("--python", type=Path, default=Path(sys.executable), help="what runs the tests")
    running.add_argument("--jobs", type=int, default=2, help="faults at the same time, each in a copy")
    running.add_argument("--only", nargs="+", metavar="ID", help="default: all faults")
    running.add_argument("--contexts", type=Path, help="the data file of coverage.py, of the same tree")
    running.add_argument("--minutes", type=float, default=15, help="within which any one test must end")
    running.add_argument("--out", type=Path, required=True, help="results; the faults that it has are not tried again")
    running.set_defaults(command=_run)

    tabling = commands.add_parser("table", help="prints results")
    tabling.add_argument("before", type=Path, help="results")
    tabling.add_argument("after", type=Path, nargs="?", help="results after a change")
    tabling.add_argument("--faults", type=Path, default=FAULTS)
    tabling.set_defaults(command=_table)

    options = parser.parse_args()
    options.command(options)


def _draw(options: argparse.Namespace) -> None:
    excluded = read(options.out)[1] if options.out.exists() else []
    faults = draw(ROOT, options.seed, options.count, excluded_keys(excluded))
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True)
    write(options.out, {"seed": options.seed, "commit": head.stdout.strip()}, excluded, faults)
    print(options.out)


def _run(options: argparse.Namespace) -> None:
    faults = read(options.faults)[0]
    if options.only:
        faults = [fault for fault in faults if fault.id in options.only]
        if len(faults) < len(set(options.only)):
            sys.exit(f"--only takes ids of {options.faults}. Received: {' '.join(options.only)}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        Path(place).chmod(0o755)  # like the copies
        copies = [
            Copy(options.tree.resolve(), Path(place) / str(job), options.python.absolute(), 60 * options.minutes)
            for job in range(options.jobs)
        ]
        attempt_all(faults, copies, options.contexts, options.out)


def _table(options: argparse.Namespace) -> None:
    files = {"caught before by": options.before, "caught after by": options.after}
    runs = {name: {result.id: result for result in read_results(path)} for name, path in files.items() if path}
    print(table(read(options.faults)[0], runs))


if __name__ == "__main__":
    main()
