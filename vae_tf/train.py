"""Train a variational autoencoder: python -m vae_tf.train --variant bn"""

import itertools
import time
from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from vae_tf.config import CheckpointConfig, ModelConfig, RunConfig, UserPath
from vae_tf.distribute.cluster import DistributionMode
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.support import cli
from vae_tf.support.arguments import GENERAL, Heading
from vae_tf.support.errors import InputError
from vae_tf.support.quiet_tensorflow import load_tensorflow
from vae_tf.training.run import run_training

if TYPE_CHECKING:
    import keras

    from vae_tf.data.user_arrays import UserArrays
    from vae_tf.model.vae import VAE

COMMAND = "python -m vae_tf.train"


class TrainOptions(CheckpointConfig, RunConfig):
    """Train a variational autoencoder and write a run folder with the model, its history, curves and images.

    The options that most runs need are --dataset, --data-dir, --image-size, --variant, --latent-dim, --likelihood,
    --beta, --epochs, --batch-size and --run-dir.
    """

    heading = "output"

    config: Annotated[UserPath, Heading(GENERAL)] | None = None
    """YAML file that sets any of these options; the command line takes precedence."""
    run_dir: UserPath | None = None
    """Run folder: a new or empty folder, or a run to resume. Default: a new folder in runs/, named after the dataset,
    the model, the date and the time."""
    overwrite: bool = False
    """Delete an existing run in the run folder, including its checkpoints, and start over."""
    track: bool = False
    """Log parameters, metrics and images to MLflow. Always on in an Azure ML job."""
    tensorboard: bool = False
    """Write metrics and images for TensorBoard to the folder tensorboard in the run folder."""
    require_gpu: Annotated[bool, Heading("training")] = False
    """Exit with an error if there is no GPU; otherwise print the GPUs at the start."""
    distribute: Annotated[DistributionMode, Heading("training")] = "auto"
    """Train on several GPUs of this machine (mirrored), on the machines listed in TF_CONFIG (multi_worker), or on one
    device (none). auto uses all machines in TF_CONFIG, or else all GPUs of this machine."""
    worker_timeout: Annotated[float, Heading("training")] = Field(120, gt=0, allow_inf_nan=False)
    """Seconds to wait for the other workers to respond."""

    @model_validator(mode="after")
    def _check_tensorboard(self) -> Self:
        # TensorFlow can't write summaries without it.
        if self.tensorboard and find_spec("tensorboard") is None:
            raise InputError(
                "--tensorboard needs TensorBoard, which is not installed; run pip install '.[tensorboard]' in the "
                "folder that contains vae_tf's pyproject.toml"
            )
        return self

    @model_validator(mode="after")
    def _check_require_gpu(self) -> Self:
        if self.require_gpu and self.device == "cpu":
            raise InputError("require_gpu needs device=auto or device=gpu. Received: device=cpu; remove one of the two")
        return self


def default_run_dir(config: RunConfig) -> Path:
    """Returns `runs/<dataset>-<arch>-<variant>-<date>-<time>`, with a number appended if that already exists."""
    name = f"{config.dataset}-{config.arch}-{config.variant}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(path for path in map(Path("runs").joinpath, names) if not path.exists())


def _print_gpus() -> None:
    """Prints the GPUs before the data is loaded, which can take a long time on a network drive."""
    load_tensorflow()

    from vae_tf.backend.devices import require_gpus

    print(f"GPUs    {', '.join(require_gpus())}", flush=True)


def train_run(
    config: RunConfig | None = None,
    *,
    x: Any = None,
    x_test: Any = None,
    y: Any = None,
    y_test: Any = None,
    model: "VAE | None" = None,
    callbacks: "Sequence[keras.callbacks.Callback]" = (),
    **options: Any,
) -> LoadedRun:
    """Trains a model as the `train` command does, and returns the finished run.

    If the run folder contains an unfinished run with the same options, it is resumed, including the state of the
    callbacks as far as a checkpoint can hold it. A finished run with the same options is returned without training,
    even if `model` is passed.

    Args:
        config: The run's config; `options` override it. Default: the defaults of the command.
        x: Training images, instead of a dataset: an array `(N, H, W)` or `(N, H, W, C)` with values in [0, 1] or
            [0, 255], or a finite `tf.data.Dataset` of batches of images or of pairs (images, labels). Its contents are
            read into memory, and written to `data.npz` in the run folder.
        x_test: Test images, like `x`; required with `x`.
        y: Labels `(N,)` of the images in `x`, if that is an array; a dataset contains its own.
        y_test: Labels of the images in `x_test`.
        model: A built model to train, instead of the one that the options describe; it is compiled and trained in
            place, on a single device.
        callbacks: Keras callbacks, such as `EarlyStopping`; their `on_train_batch_end` is called after several steps.
        **options: Options of the command with underscores, such as `latent_dim=16` and `run_dir="runs/x"`.

    Raises:
        InputError: An option is unknown or invalid, the data, the model or the folder can't be used, or training
            diverged.
        Interrupted: SIGTERM or SIGINT was received; the state of training is saved.

    Example:
        >>> stop = keras.callbacks.EarlyStopping("val_loss", patience=3)
        >>> run = vae_tf.train_run(arch="dense", epochs=50, run_dir="runs/x", callbacks=[stop])
        >>> images = run.model.sample(16, seed=0)
    """
    arrays = _collect_arrays(x, x_test, y, y_test)
    if arrays is not None:
        _check_not_passed(options, ("dataset", "data_dir", "cache_dir"), "x")
    if model is not None:
        of_model = (*ModelConfig.model_fields, *ModelConfig.extra_fields(), "conditional", "precision")
        _check_not_passed(options, of_model, "model")
    from_config = {} if config is None else config.model_dump()
    dataset = {} if arrays is None else {"dataset": "npz", "data_dir": None}
    return _train(TrainOptions(**TrainOptions.merge(from_config, options | dataset)), callbacks, arrays, model)


def _collect_arrays(x: Any, x_test: Any, y: Any, y_test: Any) -> "UserArrays | None":
    arguments = {"x": x, "x_test": x_test, "y": y, "y_test": y_test}
    passed = [name for name, value in arguments.items() if value is not None]
    if not passed:
        return None
    if x is None or x_test is None:
        raise InputError(f"x and x_test must be passed together. Received: {' and '.join(passed)}")
    from vae_tf.data.user_arrays import UserArrays

    return UserArrays(**arguments)


def _check_not_passed(options: Mapping[str, Any], replaced: Collection[str], argument: str) -> None:
    """Raises an error if an option is passed together with the argument that replaces it."""
    for name, value in options.items():
        if name in replaced:
            raise InputError(f"{name} can't be combined with {argument}, which replaces it. Received: {name}={value}")


def _train(
    options: TrainOptions,
    callbacks: "Sequence[keras.callbacks.Callback]" = (),
    arrays: "UserArrays | None" = None,
    model: "VAE | None" = None,
) -> LoadedRun:
    if options.require_gpu:
        _print_gpus()
    config = options.subset(RunConfig)
    run_dir = Path(options.run_dir) if options.run_dir else default_run_dir(config)
    folder = run_training(
        config,
        run_dir,
        checkpoints=options.subset(CheckpointConfig),
        overwrite=options.overwrite,
        track=options.track,
        tensorboard=options.tensorboard,
        distribute=options.distribute,
        worker_timeout=options.worker_timeout,
        callbacks=callbacks,
        arrays=arrays,
        model=model,
    )
    return LoadedRun(folder)


def main(options: TrainOptions) -> None:
    """Runs the command."""
    _train(options)


if __name__ == "__main__":
    cli.run(main, TrainOptions, COMMAND)
