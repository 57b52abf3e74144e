"""A complete training run, from its config to the finished run folder."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_tf.config import CheckpointConfig, RunConfig
from vae_tf.data.spec import DatasetSpec
from vae_tf.distribute.cluster import Cluster, DistributionMode, cluster_from_environment
from vae_tf.runs import tracking
from vae_tf.support.quiet_tensorflow import load_tensorflow

if TYPE_CHECKING:
    import keras
    import numpy as np

    from vae_tf.data.loading import Splits
    from vae_tf.data.user_arrays import UserArrays
    from vae_tf.model.vae import VAE
    from vae_tf.runs.run_dir import RunDir
    from vae_tf.training.checkpoint.store import Checkpoint
    from vae_tf.training.resume import ResumePoint
    from vae_tf.training.stage import Stage
    from vae_tf.training.trainer import Trainer

FINISHED = -1


def run_training(
    config: RunConfig,
    run_dir: Path,
    *,
    checkpoints: CheckpointConfig | None = None,
    overwrite: bool = False,
    track: bool = False,
    tensorboard: bool = False,
    distribute: DistributionMode = "none",
    worker_timeout: float = 120,
    callbacks: "Sequence[keras.callbacks.Callback]" = (),
    arrays: "UserArrays | None" = None,
    model: "VAE | None" = None,
) -> "RunDir":
    """Trains a model as `config` describes, writes the run folder, and returns it.

    With several workers, all of them must call this; only the chief writes the run folder, prints, and logs to MLflow.

    Args:
        config: The run's config.
        run_dir: A new or empty folder, or the folder of an unfinished run with the same config, which is resumed.
        checkpoints: Checkpoint options. Default: the defaults of the command.
        overwrite: Whether to replace an existing run in `run_dir`.
        track: Whether to log to MLflow; if `MLFLOW_RUN_ID` is set, the run is always logged.
        tensorboard: Whether to write summaries for TensorBoard to the run folder.
        distribute: The distribution strategy, as in the command's `--distribute`.
        worker_timeout: Maximum time, in seconds, to wait for the other workers.
        callbacks: Called while the VAE trains, on the chief only; one of them may stop training.
        arrays: The data, if it does not come from the dataset in `config`; the run folder keeps it in `data.npz`.
        model: The model to train, if it is not the one that `config` describes.

    Raises:
        InputError: The data or the folder can't be used, MLflow is not installed, a worker did not start, or training
            diverged.
        Interrupted: SIGTERM or SIGINT was received; the state of training is saved.
    """
    from vae_tf.data.loading import load_splits, make_splits
    from vae_tf.distribute.peers import connected_peers
    from vae_tf.runs.new_run import check_separate_from_data, check_usable
    from vae_tf.runs.run_dir import RunDir

    if arrays is not None:
        config = config.model_copy(update={"data_dir": str(RunDir(run_dir).data_path)})
    if model is not None:
        config = config.model_copy(update={"conditional": model.num_classes is not None})
    check_separate_from_data(run_dir, config, overwrite=overwrite and arrays is None)
    options = checkpoints or CheckpointConfig()
    cluster = cluster_from_environment(distribute)
    is_chief = cluster is None or cluster.is_chief
    if is_chief:
        check_usable(run_dir, overwrite=overwrite, resume=options.resume == "auto")
    is_tracked = tracking.should_track(requested=track)
    with connected_peers(cluster, worker_timeout) as peers:
        splits = load_splits(config) if arrays is None else make_splits(config, arrays.native_splits())
        if model is not None:
            from vae_tf.training.user_model import describe_model

            config = describe_model(model, config, splits)
        config = config.fill_in_defaults(splits.spec.example_shape)
        load_tensorflow()

        from vae_tf.backend.devices import convert_runtime_errors, limit_threads, use_device, warn_if_bfloat16_is_slow
        from vae_tf.distribute.strategy import check_can_distribute, strategy_for
        from vae_tf.training.resume import ResumePoint
        from vae_tf.training.sampler import check_sampler
        from vae_tf.training.stage import vae_stage
        from vae_tf.training.trainer import Trainer

        device = use_device(config.device, deterministic=config.deterministic)
        limit_threads(config, splits.spec.example_shape)
        warn_if_bfloat16_is_slow(config.precision, device)
        check_sampler(config, splits)
        if peers is not None:
            peers.check_equal("options and data", _fingerprint(config, splits.spec))
        with convert_runtime_errors(), ResumePoint(run_dir, options, config, splits) as resume_point:
            checkpoint = resume_point.find(overwrite=overwrite) if is_chief else None
            start = 0 if checkpoint is None else checkpoint.step
            if resume_point.is_finished:
                print(
                    f"{run_dir} is already finished ({config.epochs} epochs); raise --epochs to train longer, "
                    "or use --overwrite to start over"
                )
                start = FINISHED
            if peers is not None:
                start = int(peers.broadcast_from_chief(str(start) if is_chief else None))
            if start == FINISHED:
                return RunDir(run_dir)
            strategy = strategy_for(distribute, peers, worker_timeout)
            check_can_distribute(strategy, config, splits.spec.num_train)
            trainer = Trainer(config, splits, strategy, [vae_stage(config, splits, strategy, model)])
            if start:
                trainer.resume(start, checkpoint.arrays() if checkpoint else None)
            if is_chief:
                run = resume_point.prepare(checkpoint)
                if arrays is not None:
                    run.write_data(arrays.arrays)
                _print_summary(config, splits, trainer, run, f"{device}{_replicas(strategy, cluster)}", checkpoint)
                progress = {} if checkpoint is None else checkpoint.progress
                run_id = progress.get("mlflow_run_id")
                with tracking.Tracker(config, run.path, is_enabled=is_tracked, run_id=run_id) as tracker:
                    _train_and_write(
                        trainer,
                        config,
                        splits,
                        resume_point,
                        run,
                        tracker,
                        progress,
                        callbacks,
                        tensorboard=tensorboard,
                    )
            else:
                assert cluster is not None
                print(f"{cluster.name(cluster.index)} of {len(cluster.addresses)}, {device}", flush=True)
                trainer.train(lambda stage: [], None, dict, options, may_stop_early=bool(callbacks))
    return RunDir(run_dir)


def _fingerprint(config: RunConfig, spec: DatasetSpec) -> str:
    """Returns a checksum that is equal on workers with the same options and data, wherever their data is stored."""
    return str(zlib.crc32(repr((config.model_copy(update={"data_dir": None}), spec)).encode()))


def _replicas(strategy: Any, cluster: Cluster | None) -> str:
    workers = "" if cluster is None else f" on each of {len(cluster.addresses)} workers"
    count = strategy.num_replicas_in_sync
    return f"{workers}, {count} replicas" if count > 1 else workers


def _first_test_examples(config: RunConfig, splits: "Splits") -> "tuple[Any, np.ndarray | None]":
    """Returns the first test examples as one batch, and their classes, for the figures."""
    from vae_tf.data.pipeline import first_batch

    count = min(splits.spec.modality.figures.num_reconstructions, len(splits.test))
    batch = first_batch(splits.test, config, splits.spec.example_shape, "test", count)
    return batch, None if splits.test.labels is None else splits.test.labels[:count]


def _batch_across_training_set(config: RunConfig, splits: "Splits") -> Any:
    """Returns a batch of examples from all over the training set, which may be sorted by class."""
    import numpy as np

    from vae_tf.data.pipeline import first_batch

    indices = np.linspace(0, len(splits.train) - 1, min(config.batch_size, len(splits.train))).astype(int)
    return first_batch(splits.train.subset(indices), config, splits.spec.example_shape, "train", len(indices))


def _print_summary(
    config: RunConfig,
    splits: "Splits",
    trainer: "Trainer",
    run: "RunDir",
    device: str,
    checkpoint: "Checkpoint | None",
) -> None:
    from vae_tf.runs.run_dir import SKIPPED_FILES

    spec, model = splits.spec, trainer.model
    shape, noun = spec.modality.describe(spec.example_shape), spec.modality.plural
    parameters = f"encoder {model.encoder.count_params():,} + decoder {model.decoder.count_params():,} parameters"
    print(
        f"Data    {spec.name}, {shape}: {spec.num_train:,} train, {spec.num_val:,} val, {spec.num_test:,} test {noun}"
    )
    if config.conditional:
        print(f"Classes {_classes(spec)}")
    latents = f"{config.latent_dim} latent dimension{'s' * (config.latent_dim > 1)}"
    print(f"Model   {config.arch} {config.variant}, {latents}, {parameters}")
    print(f"Device  {device}")
    print(f"Run     {run.path}", flush=True)
    if splits.skipped:
        print(
            f"Skipped {len(splits.skipped)} files that can't be read, listed in {run.path / SKIPPED_FILES}", flush=True
        )
    if checkpoint is not None:
        print(f"Resumed after step {checkpoint.step:,} of {trainer.num_steps:,}, from {checkpoint.path}", flush=True)


def _classes(spec: DatasetSpec) -> str:
    if spec.class_names is None:
        return str(spec.num_classes)
    return f"{spec.num_classes}: " + ", ".join(f"{number} {name}" for number, name in enumerate(spec.class_names))


def _train_and_write(
    trainer: "Trainer",
    config: RunConfig,
    splits: "Splits",
    resume_point: "ResumePoint",
    run: "RunDir",
    tracker: tracking.Tracker,
    progress: Mapping[str, Any],
    user_callbacks: "Sequence[keras.callbacks.Callback]",
    *,
    tensorboard: bool,
) -> None:
    """Trains and writes the run folder, on the only worker or on the chief."""
    from vae_tf import plots
    from vae_tf.training import callbacks
    from vae_tf.training.callback_states import CallbackStates
    from vae_tf.training.collapse import warn_if_collapsed
    from vae_tf.training.early_samples import EarlySamples
    from vae_tf.training.progress import ProgressBar, TimeLeft
    from vae_tf.training.sampler import fit_sampler
    from vae_tf.training.tensorboard import TensorBoardWriter

    history = callbacks.HistoryWriter(run, splits.spec.num_train, progress)
    figures = callbacks.EpochFigures(run, config, lambda: _first_test_examples(config, splits))
    time_left = TimeLeft()
    bar = ProgressBar(history, time_left, config, splits.spec.num_train, splits.spec.modality)
    states = CallbackStates(user_callbacks, progress.get("callbacks", []))
    early_samples = EarlySamples(run, config, lambda: _batch_across_training_set(config, splits))
    tensorboard_writers = [TensorBoardWriter(run.tensorboard_path, history, figures)] if tensorboard else []
    has_several_stages = len(trainer.stages) > 1

    def make_callbacks(stage: "Stage") -> "Sequence[keras.callbacks.Callback]":
        history.stage = stage.name if has_several_stages else None
        vae_callbacks = [early_samples, figures, *user_callbacks, states] if stage is trainer.stages[0] else []
        trackers = [callbacks.TrackingCallback(tracker, history, figures), *tensorboard_writers]
        return [history, time_left, bar, *vae_callbacks, *trackers]

    test = trainer.train(
        make_callbacks,
        resume_point.store,
        lambda: {
            **resume_point.description,
            **history.get_state(),
            "callbacks": states.get_state(),
            "mlflow_run_id": tracker.run_id,
        },
        resume_point.options,
        may_stop_early=bool(user_callbacks),
    )
    results = {**figures.paths, "Curves": run.save_curves(plots.curves(history.rows))}
    if config.sampler is not None:
        sampler = fit_sampler(config.sampler, config.arguments("sampler"), trainer.model, config, splits)
        results["Sampler"] = run.save_sampler(sampler)
    if tensorboard:
        results["TensorBoard"] = run.tensorboard_path
    results["Model"] = run.save_model(trainer.model)  # last: a run that has its model is finished
    warn_if_collapsed(trainer.model, config, splits)
    print(
        f"Test ELBO {-test['loss']:.2f} nats per {splits.spec.modality.name} "
        f"(reconstruction_loss {test['reconstruction_loss']:.2f}, kl_loss {test['kl_loss']:.2f}; "
        f"{splits.spec.num_test:,} {splits.spec.modality.plural})"
    )
    for title, path in results.items():
        print(f"{title:16}{path}", flush=True)
    for writer in tensorboard_writers:
        writer.log_test(test)
    tracker.log_test(test)
    tracker.log_image(results["Curves"])
