"""Draw pictures from a trained run: python -m vae_tf.sample --run runs/x --out grid.png"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from vae_tf.config import Config, Seed, UserPath
from vae_tf.support import cli
from vae_tf.support.errors import InputError
from vae_tf.support.quiet_tensorflow import load_tensorflow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vae_tf.config import RunConfig
    from vae_tf.data.sources import Examples
    from vae_tf.model.vae import VAE, Observed
    from vae_tf.runs.run_dir import RunDir

COMMAND = "python -m vae_tf.sample"
NUM_RECONSTRUCTIONS, NUM_INTERPOLATIONS = 10, 8
INTERPOLATION_STEPS = 10
ALL = "all"
LARGEST_NUM = 100_000
FORMATS = (".png", ".npz")


class SampleOptions(Config):
    """Draw prior samples, reconstructions, interpolations or latent traversals from a trained run."""

    run: UserPath
    """Run folder, as runs/x."""
    data_dir: UserPath | None = None
    """Where the pictures are now. Default: where the run found them."""
    num: Annotated[int, Field(ge=1, le=LARGEST_NUM)] | None = None
    """Samples (of each class with --label all), reconstructions, rows of interpolations, or traversed dimensions.
    Default: 64, 8, 10, 8 or 10."""
    label: str | None = None
    """Class of the samples of a conditional run, by number or name, or all for a row of each. Default: in turn."""
    seed: Seed | None = None
    """Seed of the prior samples. Default: 0."""
    out: UserPath | None = None
    """File to write: .png for a picture, .npz for arrays. Default: samples.png (or the other name) here."""
    reconstruct: bool = False
    """Test pictures above, their reconstructions below."""
    interpolate: bool = False
    """Each row leads from one test picture to another, in equal latent steps."""
    traverse: bool = False
    """Each row changes one latent dimension of a test picture from -3 to 3, the most informative first."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Factor on the prior's noise: below 1 gives more typical samples. Default: 1."""

    @model_validator(mode="after")
    def _one_picture(self) -> Self:
        asked = [f"--{name}" for name in ("reconstruct", "interpolate", "traverse") if getattr(self, name)]
        if len(asked) > 1:
            raise InputError(f"One picture at a time. Received: {' and '.join(asked)}; choose one")
        for name in ("seed", "temperature", "label"):
            if getattr(self, name) is not None and asked:
                raise InputError(f"{name} applies to prior samples. Received: another picture; leave it out")
        if self.out is not None and Path(self.out).suffix not in FORMATS:
            raise InputError(f"out must end in .png or .npz. Received: out={self.out}")
        return self


class Drawn(NamedTuple):
    """What was drawn.

    Attributes:
        name: Default name of the file.
        arrays: What goes into an npz file.
        figure: What goes into a png file.
    """

    name: str
    arrays: dict[str, Any]
    figure: "Figure"


def main(options: SampleOptions) -> None:
    """Runs the command."""
    from vae_tf import plots
    from vae_tf.runs.run_dir import RunDir

    run = RunDir.open(Path(options.run), options.data_dir)
    load_tensorflow()

    from vae_tf.backend.devices import errors_in_one_line

    with errors_in_one_line():
        drawn = _drawn(options, run, run.load_model())
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


def _drawn(options: SampleOptions, run: "RunDir", model: "VAE") -> Drawn:
    if options.traverse:
        return _traversals(run, model, options.num)
    if options.reconstruct:
        return _reconstructions(run, model, options.num)
    if options.interpolate:
        return _interpolations(run, model, options.num)
    return _samples(options, model, run.read_classes())


def _samples(options: SampleOptions, model: "VAE", class_names: tuple[str, ...] | None) -> Drawn:
    from vae_tf import plots
    from vae_tf.plots import drawing

    if class_names is not None and len(class_names) != model.num_classes:
        raise InputError(
            f"classes.json of a run must name the classes of its model. Received: {len(class_names)} names for "
            f"{model.num_classes} classes; train it again"
        )
    of_points = drawing.is_of_points(model)
    names = class_names or tuple(map(str, range(model.num_classes or 0)))
    default, of_each = (drawing.POINTS, 500) if of_points else (drawing.SAMPLES, drawing.COLUMNS)
    classes = _classes(options, names, default, of_each)
    count = (options.num or default) if classes is None else len(classes)
    temperature = 1.0 if options.temperature is None else options.temperature
    samples = model.sample(count, options.seed or 0, classes, temperature=temperature, mean=not of_points)
    arrays = {"samples": samples} if classes is None else {"samples": samples, "labels": classes}
    if of_points:
        return Drawn("samples", arrays, plots.point_panels({"Prior samples": plots.Points(samples, classes)}))
    if options.label == ALL:
        rows = dict(zip(names, samples.reshape(len(names), -1, *samples.shape[1:]), strict=True))
        return Drawn("samples", arrays, plots.named_rows(rows, "Prior samples of each class"))
    return Drawn("samples", arrays, plots.picture_grid(samples, min(drawing.COLUMNS, count), "Prior samples"))


def _traversals(run: "RunDir", model: "VAE", num: int | None) -> Drawn:
    from vae_tf import plots
    from vae_tf.data.catalog import load_splits
    from vae_tf.metrics.traversal import LARGEST_NUM_DIMENSIONS, encoded_sample, traverse

    if len(model.example_shape) == 1:
        raise InputError("traverse needs a run of pictures. Received: a run of rows")
    there = model.prior.latent_dim
    if (num or 1) > there:
        raise InputError(f"num must be at most {there}, by the latent dimensions there are. Received: num={num}")
    config = run.read_config()
    splits = load_splits(config)
    encoded = encoded_sample(model, config, splits)
    traversal = traverse(model, config, splits, encoded, num or LARGEST_NUM_DIMENSIONS)
    title = "One latent dimension at a time, from -3 to 3"
    arrays = traversal._asdict()
    return Drawn("traversals", arrays, plots.named_rows(traversal.rows, title, traversal.columns))


def _classes(options: SampleOptions, names: tuple[str, ...], default: int, of_each: int) -> np.ndarray | None:
    """The class of each sample, `None` for a run without classes; where no number is asked for `default` samples."""
    if not names:
        if options.label is not None:
            raise InputError(f"label needs a run trained with --conditional. Received: label={options.label}")
        return None
    if options.label == ALL:
        return np.repeat(np.arange(len(names)), options.num or of_each)
    count = options.num or default
    if options.label is None:
        return np.arange(count) % len(names)
    return np.full(count, _class_of(options.label, names))


def _class_of(label: str, names: tuple[str, ...]) -> int:
    """The number of a class, given by its number or by its name."""
    if label in names:
        return names.index(label)
    if label.isdecimal() and int(label) < len(names):
        return int(label)
    named = "" if names[0] == "0" else f" or one of {', '.join(names)}"
    raise InputError(f"label must be a class of the run, 0 to {len(names) - 1}{named}, or all. Received: label={label}")


def _reconstructions(run: "RunDir", model: "VAE", num: int | None) -> Drawn:
    from vae_tf import plots
    from vae_tf.plots import drawing

    examples, config, shape = _test_split(run, model)
    of_points = drawing.is_of_points(model)
    count = _count(num, len(examples), drawing.POINTS if of_points else NUM_RECONSTRUCTIONS)
    seen = _observed(examples, config, shape, model, np.arange(count))
    arrays = {"originals": seen.target, "reconstructions": model.reconstruct(seen.inputs, seen.labels)}
    if seen.inputs is not seen.target:
        arrays["corrupted"] = seen.inputs
    if of_points:
        panels = {name.capitalize(): plots.Points(xy, seen.labels) for name, xy in arrays.items()}
        return Drawn("reconstructions", arrays, plots.point_panels(panels))
    return Drawn("reconstructions", arrays, drawing.reconstruction_figure(model, seen))


def _interpolations(run: "RunDir", model: "VAE", num: int | None) -> Drawn:
    from vae_tf import plots
    from vae_tf.plots import drawing

    examples, config, shape = _test_split(run, model)
    pairs = _pairs(len(examples), examples.labels if config.conditional else None)
    pairs = pairs[: _count(num, len(pairs), NUM_INTERPOLATIONS)]
    seen = _observed(examples, config, shape, model, pairs.ravel())
    labels = None if seen.labels is None else seen.labels[0::2]
    ways = model.interpolate(seen.inputs[0::2], seen.inputs[1::2], INTERPOLATION_STEPS, labels)
    flat = ways.reshape(-1, *ways.shape[2:])
    if drawing.is_of_points(model):
        points = plots.Points(flat, np.repeat(np.arange(len(ways)), INTERPOLATION_STEPS))
        figure = plots.point_panels({"Ways through the latent space": points})
    else:
        figure = plots.picture_grid(flat, INTERPOLATION_STEPS, "From left to right through the latent space")
    return Drawn("interpolations", {"interpolations": flat}, figure)


def _pairs(count: int, classes: np.ndarray | None) -> np.ndarray:
    """Neighbours among the examples `(P, 2)`; where classes `(count,)` are given, neighbours of a class."""
    if classes is None:
        return np.arange(count // 2 * 2).reshape(-1, 2)
    of_class = [np.flatnonzero(classes == label) for label in np.unique(classes)]
    pairs = [members[: len(members) // 2 * 2].reshape(-1, 2) for members in of_class]
    longest = max(map(len, pairs))
    return np.array([part[place] for place in range(longest) for part in pairs if place < len(part)]).reshape(-1, 2)


def _test_split(run: "RunDir", model: "VAE") -> "tuple[Examples, RunConfig, tuple[int, ...]]":
    from vae_tf.data.catalog import load_splits

    config = run.read_config()
    splits = load_splits(config)
    run.check_fits(model, splits.spec)
    return splits.test, config, splits.spec.example_shape


def _count(num: int | None, there: int, default: int) -> int:
    """How many of those `there` are: `num`, by default as many as there are up to `default`."""
    if (num or 1) > there:
        raise InputError(f"num must be at most {there}, by the test pictures there are. Received: num={num or 1}")
    return num or min(default, there)


def _observed(
    examples: "Examples", config: "RunConfig", shape: tuple[int, ...], model: "VAE", indices: np.ndarray
) -> "Observed":
    from vae_tf.data.pipeline import first_batch

    return model.observed(first_batch(examples.subset(indices), config, shape, "test", len(indices)))


if __name__ == "__main__":
    cli.run(main, SampleOptions, COMMAND)
