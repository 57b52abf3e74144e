"""Generate images from a finished run: python -m vae_tf.sample --run runs/x --out grid.png"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from vae_tf.config import Seed, UserPath
from vae_tf.config.base import OneOf
from vae_tf.config.evaluation import RunFolderConfig
from vae_tf.registry import PRIOR
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.support import cli
from vae_tf.support.arguments import Heading, Metavar
from vae_tf.support.errors import InputError
from vae_tf.support.quiet_tensorflow import load_tensorflow

if TYPE_CHECKING:
    from vae_tf.report.run_figures import RunFigure

COMMAND = "python -m vae_tf.sample"
MAX_NUM = 100_000
FORMATS = (".png", ".npz")
SAMPLES = Heading("samples")


class SampleOptions(RunFolderConfig):
    """Generate samples, reconstructions, interpolations or latent traversals from a finished run."""

    heading = "output"

    num: Annotated[int, Field(ge=1, le=MAX_NUM)] | None = None
    """Number of samples (per class with --label all), reconstructions, interpolations or traversed dimensions. Default
    for images: 64 samples (8 per class with --label all), 10 reconstructions, 8 interpolations, 10 dimensions; for 2D
    points: 2,000 samples or reconstructions."""
    label: Annotated[str, Metavar("CLASS"), SAMPLES] | None = None
    """Class to sample from, in a conditional run: a number, a name, or all for one row per class. Default: cycle
    through the classes."""
    seed: Annotated[Seed, SAMPLES] | None = None
    """Random seed of the samples. Default: 0."""
    out: UserPath | None = None
    """File to write: .png for a figure, .npz for arrays. Default: a .png named after its contents, such as
    samples.png."""
    reconstruct: bool = False
    """Show test images with their reconstructions below them."""
    interpolate: bool = False
    """Interpolate between pairs of test images in evenly spaced latent steps, one pair per row."""
    traverse: bool = False
    """Vary one latent dimension of a test image from -3 to 3 in each row, the dimension with the highest KL first."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False), SAMPLES] | None = None
    """Sampling temperature: scales the spread of the prior or of the run's sampler; a value below 1 gives less varied
    samples. Default: 1."""
    sampler: Annotated[str, OneOf("sampler", (PRIOR,)), SAMPLES] | None = None
    """Sample from the prior, even if the run has a fitted sampler. Default: use the run's sampler, if it has one."""

    @model_validator(mode="after")
    def _check_exclusive_modes(self) -> Self:
        modes = [f"--{name}" for name in ("reconstruct", "interpolate", "traverse") if getattr(self, name)]
        if len(modes) > 1:
            raise InputError(
                "--reconstruct, --interpolate and --traverse can't be combined. "
                f"Received: {' and '.join(modes)}; choose one"
            )
        for name in ("seed", "temperature", "label", "sampler"):
            if getattr(self, name) is not None and modes:
                raise InputError(f"{name} applies only to samples; it can't be combined with {modes[0]}")
        if self.out is not None and Path(self.out).suffix not in FORMATS:
            raise InputError(f"out must end in .png or .npz. Received: out={self.out}")
        return self


def main(options: SampleOptions) -> None:
    """Runs the command."""
    run = LoadedRun.open(Path(options.run), options.data_dir, ignore_sampler=options.sampler == PRIOR)
    load_tensorflow()

    from vae_tf import plots
    from vae_tf.backend.devices import convert_runtime_errors, use_device

    use_device(options.device)
    with convert_runtime_errors():
        run_figure = _make_figure(options, run)
    out = Path(options.out or f"{run_figure.name}.png")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".npz":
            np.savez_compressed(out, allow_pickle=False, **run_figure.arrays)
        else:
            plots.save(run_figure.figure, out)
    except OSError as error:
        raise InputError(f"out must be a writable file. Received: {out} ({error.strerror})") from None
    print(out)
    if run_figure.name == "samples" and run.sampler is not None:
        print(f"Samples come from the {run.sampler.name} sampler; --sampler prior samples from the prior instead")


def _make_figure(options: SampleOptions, run: LoadedRun) -> "RunFigure":
    from vae_tf.report import run_figures

    if options.traverse:
        return run_figures.traversals(run, options.num)
    if options.reconstruct:
        return run_figures.reconstructions(run, options.num)
    if options.interpolate:
        return run_figures.interpolations(run, options.num)
    temperature = 1.0 if options.temperature is None else options.temperature
    return run_figures.samples(run, options.num, options.label, options.seed or 0, temperature)


if __name__ == "__main__":
    cli.run(main, SampleOptions, COMMAND)
