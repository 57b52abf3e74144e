"""Draw images from a trained run: python -m vae_tf.sample --run runs/x --out grid.png"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from vae_tf.config import Config, Seed, UserPath
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.support import cli
from vae_tf.support.errors import InputError
from vae_tf.support.quiet_tensorflow import load_tensorflow

if TYPE_CHECKING:
    from vae_tf.report.run_figures import Drawn

COMMAND = "python -m vae_tf.sample"
LARGEST_NUM = 100_000
FORMATS = (".png", ".npz")


class SampleOptions(Config):
    """Draw prior samples, reconstructions, interpolations or latent traversals from a trained run."""

    run: UserPath
    """Run folder, such as runs/x."""
    data_dir: UserPath | None = None
    """Where the images are now. Default: where the run found them."""
    num: Annotated[int, Field(ge=1, le=LARGEST_NUM)] | None = None
    """Number of samples (per class with --label all), reconstructions, interpolations or traversed dimensions. Default
    for images: 64 (8 per class), 10, 8 or 10."""
    label: str | None = None
    """Class of the samples of a conditional run: a number, a name, or all for a row per class. Default: in turn."""
    seed: Seed | None = None
    """Seed of the prior samples. Default: 0."""
    out: UserPath | None = None
    """File to write: .png for a figure, .npz for arrays. Default: a .png named after what is drawn, such as
    samples.png."""
    reconstruct: bool = False
    """Draw test images, with their reconstructions below."""
    interpolate: bool = False
    """Draw paths from one test image to another in equal latent steps, one path per row."""
    traverse: bool = False
    """Change one latent dimension of a test image from -3 to 3 in each row, the most informative dimension first."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Factor on the prior's noise; a value below 1 gives more typical samples. Default: 1."""

    sampler: Literal["prior"] | None = None
    """prior draws samples from the prior even if the run has a sampler. Default: the run's sampler, if it has one."""

    @model_validator(mode="after")
    def _one_picture(self) -> Self:
        asked = [f"--{name}" for name in ("reconstruct", "interpolate", "traverse") if getattr(self, name)]
        if len(asked) > 1:
            raise InputError(f"One picture at a time. Received: {' and '.join(asked)}; choose one")
        for name in ("seed", "temperature", "label", "sampler"):
            if getattr(self, name) is not None and asked:
                raise InputError(f"{name} applies to prior samples. Received: another picture; leave it out")
        if self.out is not None and Path(self.out).suffix not in FORMATS:
            raise InputError(f"out must end in .png or .npz. Received: out={self.out}")
        return self


def main(options: SampleOptions) -> None:
    """Runs the command."""
    run = LoadedRun.open(Path(options.run), options.data_dir, from_prior=options.sampler == "prior")
    load_tensorflow()

    from vae_tf import plots
    from vae_tf.backend.devices import as_input_errors

    with as_input_errors():
        drawn = _drawn(options, run)
    out = Path(options.out or f"{drawn.name}.png")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".npz":
            np.savez_compressed(out, allow_pickle=False, **drawn.arrays)
        else:
            plots.save(drawn.figure, out)
    except OSError as error:
        raise InputError(f"out must be a file that can be written. Received: {out} ({error.strerror})") from None
    print(out)
    if drawn.name == "samples" and run.sampler is not None:
        print(f"Samples come from the {run.sampler.name} sampler; --sampler prior draws from the prior")


def _drawn(options: SampleOptions, run: LoadedRun) -> "Drawn":
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
