"""Time training with each fast path of the package turned off, one at a time.

    python benchmarks/fast_paths.py

Every contestant has its own process; in each round, they run one after the other. Prints the instruction sets of the
CPU, and for each fast path how much longer a training step takes without it, as the median of the rounds' ratios.
"""

import argparse
import statistics

import numpy as np
import train_speed

CASES = {
    "conv": (
        "oneDNN",
        "fused batch normalization",
        "transposed convolutions as convolutions",
        "bias gradients as products",
        "both paths of convolutions",
    ),
    "dense": ("oneDNN", "one thread per operation"),
}


def main() -> None:
    """Runs the rounds and prints a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print(f"CPU: {', '.join(np.show_config(mode='dicts')['SIMD Extensions']['found'])}")
    for case, paths in CASES.items():
        common = {"case": case, "precision": "float32"}
        field = [train_speed.Contestant("vae_tf", "vae_tf", common)]
        field += [train_speed.Contestant(path, "vae_tf_without", {**common, "path": path}) for path in paths]
        times = train_speed.seconds_per_step(field, train_speed.STEPS[case], options.rounds)
        print(f"\n| {case}, without | time of a step |\n|---|---|")
        for path in paths:
            ratios = [other / ours for ours, other in zip(times["vae_tf"], times[path], strict=True)]
            print(
                f"| {path} | {statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f}) |", flush=True
            )


if __name__ == "__main__":
    main()
