"""Images per second with one and with several workers on this machine, each limited to its share of the cores.

python benchmarks/workers.py --workers 1,2 -- --arch dense --epochs 4
"""

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from vae_tf.runs.run_dir import RunDir


def images_per_second(count: int, cores: int, options: list[str]) -> float:
    """Returns the images per second of the last epoch of training with `count` workers.

    Args:
        count: Number of workers.
        cores: Cores per worker.
        options: Options of `python -m vae_tf.train`.
    """
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        command = [sys.executable, "-m", "vae_tf.train", "--run-dir", str(run_dir), *options]
        addresses = free_addresses(count)
        workers = []
        for index in range(count):
            task = {"type": "worker", "index": index}
            environment = {**os.environ, "TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task})}
            own = ",".join(map(str, range(index * cores, (index + 1) * cores)))
            workers.append(
                subprocess.Popen(["taskset", "-c", own, *command], env=environment, stdout=subprocess.DEVNULL)
            )
        statuses = [worker.wait() for worker in workers]
        if any(statuses):
            sys.exit("a worker failed")
        return RunDir(run_dir).read_history()[-1]["images_per_second"]


def free_addresses(count: int) -> list[str]:
    """Returns addresses on this machine with ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def main() -> None:
    """Prints a row for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", default="1,2", help="numbers of workers to try")
    parser.add_argument("--cores", type=int, default=1, help="cores of each worker")
    parser.add_argument("options", nargs="*", help="options of vae_tf.train, after --")
    given = parser.parse_args()
    print("| workers | images/s |\n|---|---|")
    for count in map(int, given.workers.split(",")):
        print(f"| {count} | {images_per_second(count, given.cores, given.options):,.0f} |", flush=True)


if __name__ == "__main__":
    main()
