"""Show which faults the tests catch: python -m scripts.plant_faults {draw,run,table}

`draw` draws random lines of vae_tf and a replacement for each; `run` plants one fault at a time in a copy of the tree
and runs the tests until one fails; `table` prints which faults two such runs caught. If coverage.py has recorded the
tests with `pytest --cov=vae_tf --cov-context=test`, the tests that execute the changed line run first.

faults.json has the faults that were drawn from commit 449f8f2, and faults_now.json the same faults on the corresponding
lines of commit 4015b97: `run --faults scripts/plant_faults/faults_now.json`.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from .copies import Copy
from .faults import draw, excluded_keys, read_faults, write_faults
from .report import build_table
from .trials import read_results, try_faults

ROOT = Path(__file__).resolve().parents[2]
FAULTS = Path(__file__).with_name("faults.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.plant_faults", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)

    draw_parser = commands.add_parser("draw", help="draws faults")
    draw_parser.add_argument("--seed", type=int, required=True)
    draw_parser.add_argument("--count", type=int, default=40)
    draw_parser.add_argument(
        "--out", type=Path, default=FAULTS, help="file to write; its excluded faults stay excluded"
    )
    draw_parser.set_defaults(command=_draw)

    run_parser = commands.add_parser("run", help="plants faults and runs the tests")
    run_parser.add_argument("--faults", type=Path, default=FAULTS)
    run_parser.add_argument("--tree", type=Path, default=ROOT, help="the git checkout to copy")
    run_parser.add_argument("--python", type=Path, default=Path(sys.executable), help="the Python that runs the tests")
    run_parser.add_argument("--jobs", type=int, default=2, help="faults to test in parallel, each in its own copy")
    run_parser.add_argument("--only", nargs="+", metavar="ID", help="faults to test; default: all")
    run_parser.add_argument("--contexts", type=Path, help="data file of coverage.py, for the same tree")
    run_parser.add_argument("--minutes", type=float, default=15, help="maximum minutes per test")
    run_parser.add_argument("--out", type=Path, required=True, help="results file; faults with a result are skipped")
    run_parser.set_defaults(command=_run)

    table_parser = commands.add_parser("table", help="prints the results as a table")
    table_parser.add_argument("before", type=Path, help="results file")
    table_parser.add_argument("after", type=Path, nargs="?", help="results file after a change to the tests")
    table_parser.add_argument("--faults", type=Path, default=FAULTS)
    table_parser.set_defaults(command=_table)

    options = parser.parse_args()
    options.command(options)


def _draw(options: argparse.Namespace) -> None:
    excluded = read_faults(options.out)[1] if options.out.exists() else []
    faults = draw(ROOT, options.seed, options.count, excluded_keys(excluded))
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True)
    write_faults(options.out, {"seed": options.seed, "commit": head.stdout.strip()}, excluded, faults)
    print(options.out)


def _run(options: argparse.Namespace) -> None:
    faults = read_faults(options.faults)[0]
    if options.only:
        faults = [fault for fault in faults if fault.id in options.only]
        if len(faults) < len(set(options.only)):
            sys.exit(f"--only must list ids from {options.faults}. Received: {' '.join(options.only)}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # like the copies
        copies = [
            Copy(options.tree.resolve(), Path(folder) / str(job), options.python.absolute(), 60 * options.minutes)
            for job in range(options.jobs)
        ]
        try_faults(faults, copies, options.contexts, options.out)


def _table(options: argparse.Namespace) -> None:
    files = {"caught by, before": options.before, "caught by, after": options.after}
    runs = {name: {result.id: result for result in read_results(path)} for name, path in files.items() if path}
    print(build_table(read_faults(options.faults)[0], runs))


if __name__ == "__main__":
    main()
