"""Draw pictures from a trained run: python -m vae_tf.sample --run runs/x --out grid.png"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from vae_tf import cli
from vae_tf.config import Config, Seed, UserPath
from vae_tf.errors import InputError

if TYPE_CHECKING:
    from vae_tf.model.vae import VAE
    from vae_tf.rundir import RunDir

COMMAND = "python -m vae_tf.sample"
GRID_COLUMNS = 8
INTERPOLATION_STEPS = 10
LARGEST_NUM = 100_000
FORMATS = (".png", ".npz")


class SampleOptions(Config):
    """Draw prior samples, reconstructions or interpolations from a trained run."""

    run: UserPath
    """Run folder, as runs/x."""
    data_dir: UserPath | None = None
    """Where the pictures are now. Default: where the run found them."""
    num: Annotated[int, Field(ge=1, le=LARGEST_NUM)] | None = None
    """Samples, reconstructions, or rows of interpolations. Default: 64, 10 or 8."""
    seed: Seed | None = None
    """Seed of the prior samples. Default: 0."""
    out: UserPath | None = None
    """File to write: .png for a picture, .npz for arrays. Default: samples.png (or the other name) here."""
    reconstruct: bool = False
    """Test pictures above, their reconstructions below."""
    interpolate: bool = False
    """Each row leads from one test picture to another, in equal latent steps."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Factor on the prior's noise: below 1 gives more typical samples. Default: 1."""

    @model_validator(mode="after")
    def _one_picture(self) -> Self:
        if self.reconstruct and self.interpolate:
            raise InputError("One picture at a time. Received: --reconstruct and --interpolate; choose one")
        for name in ("seed", "temperature"):
            if getattr(self, name) is not None and (self.reconstruct or self.interpolate):
                raise InputError(f"{name} applies to prior samples. Received: another picture; leave it out")
        if self.out is not None and Path(self.out).suffix not in FORMATS:
            raise InputError(f"out must end in .png or .npz. Received: out={self.out}")
        return self


class Picture(NamedTuple):
    """How arrays are drawn: the default name of the file, the line above, and the pictures in a row."""

    name: str
    title: str
    columns: int


def main(options: SampleOptions) -> None:
    """Runs the command."""
    from vae_tf import plots
    from vae_tf.rundir import RunDir

    run = RunDir.open(Path(options.run), options.data_dir)
    cli.load_tensorflow()

    from vae_tf.distribute import errors_in_one_line

    with errors_in_one_line():
        picture, arrays = _drawn(options, run, run.load_model())
    out = Path(options.out or f"{picture.name}.png")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".npz":
            np.savez_compressed(out, **arrays)
        else:
            pictures = np.concatenate(list(arrays.values()))
            plots.save(plots.picture_grid(pictures, min(picture.columns, len(pictures)), picture.title), out)
    except OSError as error:
        raise InputError(f"out must be a file that can be written. Received: {out} ({error.strerror})") from None
    print(out)


def _drawn(options: SampleOptions, run: "RunDir", model: "VAE") -> tuple[Picture, dict[str, Any]]:
    """What to draw, and the arrays to draw it from."""
    if options.reconstruct:
        arrays = _reconstructions(run, model, options.num)
        columns = len(arrays["originals"])
        return Picture("reconstructions", "Originals above, reconstructions below", columns), arrays
    if options.interpolate:
        picture = Picture("interpolations", "From left to right through the latent space", INTERPOLATION_STEPS)
        return picture, _interpolations(run, model, options.num)
    temperature = 1.0 if options.temperature is None else options.temperature
    samples = model.sample(options.num or 64, options.seed or 0, temperature=temperature)
    return Picture("samples", "Prior samples", GRID_COLUMNS), {"samples": samples}


def _reconstructions(run: "RunDir", model: "VAE", num: int | None) -> dict[str, Any]:
    originals = _test_pictures(run, num, default=10)
    return {"originals": originals, "reconstructions": model.reconstruct(originals)}


def _interpolations(run: "RunDir", model: "VAE", num: int | None) -> dict[str, Any]:
    latents = model.encode(_test_pictures(run, num, default=8, per_row=2))
    first, last = latents[0::2, np.newaxis], latents[1::2, np.newaxis]
    weights = np.linspace(0, 1, INTERPOLATION_STEPS, dtype=np.float32)[np.newaxis, :, np.newaxis]
    between = (1 - weights) * first + weights * last
    return {"interpolations": model.decode(between.reshape(-1, latents.shape[1]))}


def _test_pictures(run: "RunDir", num: int | None, *, default: int, per_row: int = 1) -> np.ndarray:
    """The first test pictures, `per_row` for each of `num`; by default as many as there are up to `default`."""
    from vae_tf.data.catalog import load_splits
    from vae_tf.data.pipeline import first_pictures

    config = run.read_config()
    splits = load_splits(config)
    there = len(splits.test) // per_row
    if (num or 1) > there:
        raise InputError(f"num must be at most {there}, by the test pictures there are. Received: num={num or 1}")
    count = (num or min(default, there)) * per_row
    return first_pictures(splits.test, config, splits.spec.example_shape, "test", count)


if __name__ == "__main__":
    cli.run(main, SampleOptions, COMMAND)
