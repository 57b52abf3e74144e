"""Train a variational autoencoder: python -m vae_tf.train --variant bn"""

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from vae_tf.config import CheckpointConfig, RunConfig, UserPath
from vae_tf.distribute.cluster import DistributionMode
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.support import cli
from vae_tf.support.arguments import GENERAL, Heading
from vae_tf.support.errors import InputError
from vae_tf.support.quiet_tensorflow import load_tensorflow
from vae_tf.training.run import run_training

if TYPE_CHECKING:
    import keras

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
    require_gpu: Annotated[bool, Heading("training")] = False
    """Exit with an error if there is no GPU; otherwise print the GPUs at the start."""
    distribute: Annotated[DistributionMode, Heading("training")] = "auto"
    """Train on several GPUs of this machine (mirrored), on the machines listed in TF_CONFIG (multi_worker), or on one
    device (none). auto uses all machines in TF_CONFIG, or else all GPUs of this machine."""
    worker_timeout: Annotated[float, Heading("training")] = Field(120, gt=0, allow_inf_nan=False)
    """Seconds to wait for the other workers to respond."""

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
    config: RunConfig | None = None, *, callbacks: "Sequence[keras.callbacks.Callback]" = (), **options: Any
) -> LoadedRun:
    """Trains a model as the `train` command does, and returns the finished run.

    If the run folder contains an unfinished run with the same options, it is resumed, including the state of the
    callbacks as far as a checkpoint can hold it.

    Args:
        config: The run's config. Default: the defaults of the command, for the options that are not set.
        callbacks: Keras callbacks, such as `EarlyStopping`; their `on_train_batch_end` is called after several steps.
        **options: Options of the command with underscores, such as `latent_dim=16` and `run_dir="runs/x"`; they take
            precedence over `config`.

    Raises:
        InputError: An option is unknown or invalid, the data or the folder can't be used, or training diverged.
        Interrupted: SIGTERM or SIGINT was received; the state of training is saved.

    Example:
        >>> stop = keras.callbacks.EarlyStopping("val_loss", patience=3)
        >>> run = vae_tf.train_run(arch="dense", epochs=50, run_dir="runs/x", callbacks=[stop])
        >>> images = run.model.sample(16, seed=0)
    """
    from_config = {} if config is None else config.model_dump()
    return _train(TrainOptions(**TrainOptions.merge(from_config, options)), callbacks)


def _train(options: TrainOptions, callbacks: "Sequence[keras.callbacks.Callback]" = ()) -> LoadedRun:
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
        distribute=options.distribute,
        worker_timeout=options.worker_timeout,
        callbacks=callbacks,
    )
    return LoadedRun(folder)


def main(options: TrainOptions) -> None:
    """Runs the command."""
    _train(options)


if __name__ == "__main__":
    cli.run(main, TrainOptions, COMMAND)
