"""Time training, compared with plain Keras, PyTorch and pythae on the same networks and with the matmul rate.

    python benchmarks/train_speed.py

Needs `pip install -e ".[bench]"`. Every contestant has its own process; in each round, they run one after the other.
Prints the instruction sets of the CPU, medians, and ratios of the rounds' medians. Importing vae_tf turns on oneDNN, so
plain Keras uses it too.
"""

import argparse
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
import training_peers


class Contestant(NamedTuple):
    """One way to train one case."""

    name: str
    maker: str
    options: dict[str, Any]


TORCH: tuple[tuple[str, dict[str, Any]], ...] = (
    ("PyTorch eager", {}),
    ("PyTorch channels_last", {"channels_last": True}),
)
COMPILED = ("PyTorch torch.compile, channels_last", {"channels_last": True, "compiled": True})
CASES = {
    "conv float32": ("conv", "float32", (*TORCH, COMPILED)),
    "conv mixed_bfloat16": ("conv", "mixed_bfloat16", (*TORCH[1:], COMPILED)),
    "dense float32": ("dense", "float32", (TORCH[0], ("PyTorch torch.compile", {"compiled": True}))),
}
STEPS = {"conv": 3, "dense": 300}
BATCH = {"conv": training_peers.CONV_BATCH, "dense": training_peers.DENSE_BATCH}
MATMULS = 10
WARM_UP = 2


def contestants(case: str, precision: str, torch_variants: tuple[Any, ...]) -> list[Contestant]:
    """Returns the contestants of a case, with this package first and the matmul rate last."""
    common = {"case": case, "precision": precision}
    found = [Contestant("vae_tf", "vae_tf", common), Contestant("plain Keras fit", "keras_fit", common)]
    found += [Contestant(name, "torch", {**common, **options}) for name, options in torch_variants]
    if case == "dense":
        found.append(Contestant("pythae", "pythae", common))
    dtype = precision.removeprefix("mixed_")
    return [*found, Contestant(f"matmul {dtype}", "matmul", {"precision": dtype})]


def serve(connection: Connection, contestant: Contestant, steps: int) -> None:
    """Creates a contestant, then times its steps at every request."""
    run = getattr(training_peers, contestant.maker)(**contestant.options)
    run(WARM_UP * steps)
    connection.send(None)
    while connection.recv():
        began = time.perf_counter()
        run(steps)
        connection.send((time.perf_counter() - began) / steps)


def seconds_per_step(field: list[Contestant], steps: int, rounds: int) -> dict[str, list[float]]:
    """Returns the seconds per step of every contestant in every round.

    After half of the rounds, all start again in the opposite order: the process that is started first was measured to
    be 5% slower than the others.
    """
    times: dict[str, list[float]] = {contestant.name: [] for contestant in field}
    for order, count in ((field, rounds - rounds // 2), (field[::-1], rounds // 2)):
        for name, seconds in _seconds_in_this_order(order, steps, count).items():
            times[name] += seconds
    return times


def _seconds_in_this_order(field: list[Contestant], steps: int, rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {contestant.name: [] for contestant in field}
    if not rounds:
        return times
    context = multiprocessing.get_context("spawn")
    connections, processes = [], []
    for contestant in field:
        connection, theirs = context.Pipe()
        count = MATMULS if contestant.maker == "matmul" else steps
        processes.append(context.Process(target=serve, args=(theirs, contestant, count), daemon=True))
        processes[-1].start()
        theirs.close()
        connection.recv()  # one after the other: compiling needs the cores
        connections.append(connection)
    for _ in range(rounds):
        for contestant, connection in zip(field, connections, strict=True):
            connection.send(True)
            times[contestant.name].append(connection.recv())
    for connection, process in zip(connections, processes, strict=True):
        connection.send(False)
        process.join()
    return times


def print_case(name: str, case: str, times: dict[str, list[float]], flops: float) -> None:
    """Prints a table: images/s, how many times as fast this package is, and the share of the matmul rate."""
    medians = {contestant: statistics.median(values) for contestant, values in times.items()}
    *runners, matmul = medians
    peak = 2 * training_peers.MATMUL_SIDE**3 / medians[matmul]
    print(f"\n{name}: {flops / 1e6:,.1f} MFLOP an image; {matmul} {peak / 1e9:,.0f} GFLOP/s\n")
    print("| | images/s | vae_tf is | of the matmul rate |\n|---|---|---|---|")
    for runner in runners:
        speed = BATCH[case] / medians[runner]
        ratio = medians[runner] / medians["vae_tf"]
        print(f"| {runner} | {speed:,.0f} | {ratio:.2f} x | {speed * flops / peak:.2f} |", flush=True)


def main() -> None:
    """Runs the rounds and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--case", choices=CASES, help="one of the cases alone")
    options = parser.parse_args()
    print(f"CPU: {', '.join(np.show_config(mode='dicts')['SIMD Extensions']['found'])}")
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # so that TensorFlow holds no memory here
        flops = {case: pool.apply(training_peers.flops_per_image, (case,)) for case in STEPS}
    for name in [options.case] if options.case else CASES:
        case, precision, torch_variants = CASES[name]
        times = seconds_per_step(contestants(case, precision, torch_variants), STEPS[case], options.rounds)
        print_case(name, case, times, flops[case])


if __name__ == "__main__":
    main()
