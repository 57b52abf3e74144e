"""Imports vae_tf on a simulated system, and with data also trains, resumes, evaluates and samples.

Usage: commands.py SYSTEM [DATA]
"""

import importlib
import os
import pkgutil
import sys
from typing import get_type_hints

from simulation import simulate

TRAIN = ("--dataset", "npz", "--arch", "dense", "--hidden-sizes", "8", "--latent-dim", "2", "--run-dir", "run")


def main(platform, data=None):
    os.environ["KERAS_BACKEND"] = "tensorflow"
    simulate(platform)

    import vae_tf

    names = [module.name for module in pkgutil.walk_packages(vae_tf.__path__, "vae_tf.")]
    modules = {name: importlib.import_module(name) for name in names}
    assert modules["vae_tf.support.files"].sys.platform == platform

    def run(name, *words):
        command = modules[f"vae_tf.{name}"]
        sys.argv = [name, *words]
        modules["vae_tf.support.cli"].run(command.main, get_type_hints(command.main)["options"], command.COMMAND)

    if data is not None:
        run("train", *TRAIN, "--data-dir", data, "--epochs", "1")
        run("train", *TRAIN, "--data-dir", data, "--epochs", "2")
        run("evaluate", "--run", "run", "--nll-images", "4", "--nll-samples", "2")
        run("sample", "--run", "run")
        run("train", *TRAIN, "--data-dir", data, "--epochs", "1", "--overwrite")


if __name__ == "__main__":
    main(*sys.argv[1:])
