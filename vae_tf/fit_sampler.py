"""Fit a sampler to a finished run: python -m vae_tf.fit_sampler --run runs/x --sampler gmm"""

from pathlib import Path
from typing import Annotated

from vae_tf import registry
from vae_tf.config.base import OneOf
from vae_tf.config.evaluation import RunFolderConfig
from vae_tf.config.parts import PartsConfig
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.support import cli
from vae_tf.support.quiet_tensorflow import load_tensorflow

COMMAND = "python -m vae_tf.fit_sampler"


class FitSamplerOptions(RunFolderConfig, PartsConfig):
    """Fit a sampler to the latents of a finished run's training set; sample, evaluate and compare then use it.

    This replaces any sampler that the run has. It also deletes the run's evaluation, which is not valid for the new
    sampler.
    """

    heading = "sampler"

    sampler: Annotated[str, OneOf("sampler", registry.SAMPLERS)]
    """Sampler to fit."""


def main(options: FitSamplerOptions) -> None:
    """Runs the command."""
    run = LoadedRun.open(Path(options.run), options.data_dir)
    load_tensorflow()

    from vae_tf.backend.devices import convert_runtime_errors, use_device
    from vae_tf.training.sampler import fit_sampler

    use_device(options.device)
    with convert_runtime_errors():
        run.check_compatible()
        sampler = fit_sampler(options.sampler, options.arguments("sampler"), run.model, run.config, run.splits)
        print(run.folder.save_sampler(sampler))


if __name__ == "__main__":
    cli.run(main, FitSamplerOptions, COMMAND)
